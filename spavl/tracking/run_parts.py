"""What the run itself has to say, part by part, as its files come."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from spavl.tracking.datasets import training_data
from spavl.tracking.hostile import parameters
from spavl.tracking.registry import files_of, register
from spavl.tracking.run_content import (
    REPORT_FILES,
    SETTINGS,
    SUMMARY,
    run_metrics,
    run_parameters,
    run_tags,
)
from spavl.tracking.store import Store

CHAMPION = "champion.json"
STATUS = "status.json"
Send = Callable[[Store, str], None]


def run_parts(folder: Path, only: str | None) -> dict[str, Send]:
    """What there is to send, by name; a file written anew is a new part.

    Args:
        folder: The run's folder.
        only: As the follower's; a pod that only does a stage says nothing of the run.
    """
    parts: dict[str, Send] = {}
    if (folder / SETTINGS).exists() and only in (None, "report"):
        parts["parameters"] = partial(_log_parameters, folder)
    if (folder / SUMMARY).exists() and only in (None, "report"):
        parts[f"figures@{_written(folder / SUMMARY)}"] = partial(_log_figures, folder)
        parts[f"report@{_written(folder / SUMMARY)}"] = partial(_log_report, folder)
    if (folder / CHAMPION).exists() and only in (None, "publish"):
        parts[f"champion@{_written(folder / CHAMPION)}"] = partial(_register, folder)
    return parts


def _written(file: Path) -> int:
    return file.stat().st_mtime_ns


def _log_parameters(folder: Path, store: Store, run: str) -> None:
    store.log_parameters(run, run_parameters(folder))


def _log_figures(folder: Path, store: Store, run: str) -> None:
    summary = json.loads((folder / SUMMARY).read_text())
    store.log_parameters(run, parameters(summary["made_by"]["settings"]))
    when = _written(folder / SUMMARY) // 1_000_000
    figures = run_metrics(summary)
    store.log_metrics(run, [(name, value, when, 0) for name, value in figures.items()])
    store.log_tags(run, run_tags(summary))
    store.client.log_inputs(run, training_data(summary))


def _log_report(folder: Path, store: Store, run: str) -> None:
    found = [path for pattern in REPORT_FILES for path in sorted(folder.glob(pattern))]
    store.log_files(run, {path.relative_to(folder).as_posix(): path for path in found})


def _register(folder: Path, store: Store, run: str) -> None:
    champion = json.loads((folder / CHAMPION).read_text())
    store.log_files(run, files_of(champion))
    register(store.client, run, champion)
