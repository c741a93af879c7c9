"""What the parent run holds: the settings, the headline figures, the report."""

import getpass
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spavl.headline import headline, shown_model
from spavl.settings.gate import GateSettings
from spavl.tracking.hostile import numbers, parameters

SETTINGS = "settings.json"
SUMMARY = "summary.json"
REPORT_FILES = (SUMMARY, "report.html", "plots/*.png", "tables/*.csv")
DESCRIPTION_TAG = "mlflow.note.content"
# Columns of MLflow's runs table.
COMMIT_TAG, SOURCE_TAG, USER_TAG = "mlflow.source.git.commit", "mlflow.source.name", "mlflow.user"
BOUNDS = ("low", "high", "n")


def run_parameters(folder: Path) -> dict[str, str]:
    """Profile, images and every setting, flat, so that two runs compare side by side."""
    return parameters({**_read(folder / "request.json"), **_read(folder / SETTINGS)})


def headline_figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """`models.dpo.harm_eval_usr.value` and its like become `dpo.harm_eval_usr`."""
    values = {
        model: {name: figure["value"] for name, figure in figures.items() if _measured(figure)}
        for model, figures in {**summary["models"], "reward_model": summary["reward_model"]}.items()
    }
    seconds = summary["seconds"]
    return numbers({**values, "seconds": {**seconds["stages"], "total": seconds["total"]}})


def run_metrics(summary: Mapping[str, Any]) -> dict[str, float]:
    """All figures with their intervals and items, and first the gate's four of the shown model.

    So the runs table begins with what a run is judged by, and Compare shows how sure it is.
    """
    models, seconds = summary["models"], summary["seconds"]
    gate = GateSettings.parse(summary["made_by"]["settings"].get("gate", {}), "gate")
    mine = models.get(shown_model(models, summary["decision"]), {})
    four = {
        role: mine[key]["value"] for role, key in gate.roles.items() if _measured(mine.get(key))
    }
    figures = {
        f"{model}.{name}": figure
        for model, row in {**models, "reward_model": summary["reward_model"]}.items()
        for name, figure in row.items()
        if _measured(figure)
    }
    values = {name: figure["value"] for name, figure in figures.items()}
    bounds = {f"{name}.{key}": each[key] for name, each in figures.items() for key in BOUNDS}
    return numbers({**four, **values, **bounds, "seconds.total": seconds["total"]})


def run_tags(summary: Mapping[str, Any]) -> dict[str, object]:
    """The decision, where it came from, and the figures as a text for the run's page."""
    decision, made_by = summary["decision"], summary["made_by"]
    promoted = decision["candidate"] if decision["promoted"] else "nothing"
    return {
        "decision": f"{promoted} promoted",
        COMMIT_TAG: made_by["commit"] or "",
        SOURCE_TAG: "spavl run",
        USER_TAG: _user(),
        "spavl.commit": made_by["commit"] or "",
        "spavl.candidate": decision.get("candidate") or "none",
        "spavl.promoted": str(decision["promoted"]).lower(),
        **{f"spavl.digest.{name}": digest for name, digest in made_by["inputs"].items()},
        DESCRIPTION_TAG: description(summary),
    }


def description(summary: Mapping[str, Any]) -> str:
    """The run's sentence and caveat, and the before/after table, in Markdown."""
    models, made_by = summary["models"], summary["made_by"]
    told = headline(
        models, summary["decision"], summary.get("judges", {}), made_by["settings"].get("gate", {})
    )
    names = list(dict.fromkeys(name for figures in models.values() for name in figures))
    lines = [f"**{told.sentence}**", "", told.caveat, ""]
    lines += ["| figure | " + " | ".join(models) + " |", "|---" * (len(models) + 1) + "|"]
    for name in names:
        cells = [_cell(models[model].get(name)) for model in models]
        if any(cells):
            lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _user() -> str:
    """Who started it, as MLflow's own clients tell it; empty where a container knows nobody."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def figure_tags(figures: Mapping[str, Any]) -> dict[str, str]:
    """A model's figures as tags: value, interval and items."""
    return {
        name: f"{_cell(figure)} (n={figure['n']}, {figure['source']})"
        for name, figure in figures.items()
        if _measured(figure)
    }


def _measured(figure: object) -> bool:
    return isinstance(figure, Mapping) and figure.get("value") is not None


def _cell(figure: Any) -> str:
    """`44.2 [41.1, 47.3]` in percent; empty where nothing was measured."""
    if not _measured(figure):
        return ""
    value, low, high = (100 * figure[key] for key in ("value", "low", "high"))
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
