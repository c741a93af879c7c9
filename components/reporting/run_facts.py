"""Which run a report is of: when, where, from which base and data, judged by whom."""

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from spavl.environment import run_folder

GIB = 2**30
LIBRARIES = (
    "torch", "transformers", "trl", "peft", "accelerate", "deepspeed", "kfp", "mlflow", "pyarrow",
)  # fmt: skip


def run_facts(summary: Mapping[str, Any]) -> dict[str, str]:
    """The run by name, for people; what is not known is left out."""
    folder = run_folder()
    made_by = summary["made_by"]
    facts = {
        "Date": _begun(folder),
        "Run": folder.name if folder else "",
        "Profile": str(made_by["settings"].get("profile", "")),
        "Base": _base(made_by["settings"].get("base_model", {})),
        "Data": _data(summary),
        "Judge": _judges(summary["judges"]),
        "Machine": f"{_machine()} (where this page was written)",
        "Commit": (made_by["commit"] or "")[:12],
    }
    return {name: value for name, value in facts.items() if value}


def versions() -> dict[str, str]:
    """The libraries as they are where the page is written."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _begun(folder: Path | None) -> str:
    """When the run's first event was told."""
    file = folder and folder / "events.jsonl"
    if not file or not file.is_file():
        return ""
    with file.open(encoding="utf-8") as lines:
        when = json.loads(next(lines, "{}")).get("time")
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M} UTC" if when else ""


def _base(settings: Mapping[str, Any]) -> str:
    if not settings:
        return ""
    of_pocket = settings.get("source", "pocket") == "pocket"
    return "the pocket world's LLaVA, trained on the spot" if of_pocket else str(settings["path"])


def _data(summary: Mapping[str, Any]) -> str:
    rows = summary["data"]
    if imported := summary["imported"]:
        return f"{imported['n']:,} preferences imported from {imported['source']}"
    return f"{rows['train']['rows']:,} preferences to train on, {rows['images']['rows']:,} pictures"


def _judges(judges: Mapping[str, Any]) -> str:
    named = (judges.get(name) for name in ("all", "moderator", "pairwise"))
    return ", ".join(dict.fromkeys(str(name) for name in named if name))


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return f"{os.cpu_count()} cores, {memory:.0f} GiB"
