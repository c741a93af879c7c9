"""What the parent run holds: the settings, the headline figures, the report."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spavl.tracking.hostile import numbers, parameters

SETTINGS = "settings.json"
SUMMARY = "summary.json"
REPORT_FILES = (SUMMARY, "report.html", "plots/*.png", "tables/*.csv")
DESCRIPTION_TAG = "mlflow.note.content"


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


def run_tags(summary: Mapping[str, Any]) -> dict[str, object]:
    """The decision, where it came from, and the figures as a text for the run's page."""
    decision, made_by = summary["decision"], summary["made_by"]
    return {
        "spavl.commit": made_by["commit"] or "",
        "spavl.candidate": decision.get("candidate") or "none",
        "spavl.promoted": str(decision["promoted"]).lower(),
        **{f"spavl.digest.{name}": digest for name, digest in made_by["inputs"].items()},
        DESCRIPTION_TAG: description(summary),
    }


def description(summary: Mapping[str, Any]) -> str:
    """The before/after table in Markdown."""
    models = summary["models"]
    names = list(dict.fromkeys(name for figures in models.values() for name in figures))
    lines = ["| figure | " + " | ".join(models) + " |", "|---" * (len(models) + 1) + "|"]
    for name in names:
        cells = [_cell(models[model].get(name)) for model in models]
        if any(cells):
            lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


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
