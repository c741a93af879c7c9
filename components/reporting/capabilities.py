"""What lmms-eval measured: figures in their tasks' own units, so a table of their own."""

from collections.abc import Iterable, Mapping
from typing import Any

from components.reporting.labels import MODELS, Metric
from components.reporting.tables import Table, figure_cells

Row = tuple[Metric, dict[str, dict[str, Any]]]
LOWER_IS_BETTER = {"lower": True, "higher": False}


def capability_rows(capabilities: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Figures by task and metric, a model a column; measured or not."""
    names = dict.fromkeys(name for figures in capabilities.values() for name in figures)
    return [(_metric(name, row), row) for name in names if (row := _row(name, capabilities))]


def capability_table(rows: Iterable[Row]) -> Table:
    """The same for programs, a row a figure and model."""
    cells = [
        (metric.key, model, *figure_cells(figure), figure["source"], metric.better, figure["note"])
        for metric, row in rows
        for model, figure in row.items()
    ]
    columns = ("figure", "model", "value", "low", "high", "n", "source", "better", "note")
    return Table(columns, cells)


def capability_lines(rows: Iterable[Row]) -> list[str]:
    """The same for a terminal, a line a figure that was measured."""
    return [
        f"lmms-eval, {metric.label} {metric.arrow}".rstrip()
        + ": "
        + ", ".join(f"{model} {own_unit(figure)}" for model, figure in row.items())
        + f" (n {max(figure['n'] for figure in row.values())})"
        for metric, row in rows
        if any(figure["value"] is not None for figure in row.values())
    ]


def unmeasured(rows: Iterable[Row]) -> dict[str, str]:
    """Why a figure has no value or no interval, by figure; the models that it is so of."""
    told: dict[str, str] = {}
    for metric, row in rows:
        reasons: dict[str, list[str]] = {}
        for model, figure in row.items():
            if figure["note"]:
                reasons.setdefault(figure["note"], []).append(model)
        for reason, models in reasons.items():
            of = "" if len(models) == len(row) else f" ({', '.join(models)})"
            told[f"{metric.label}{of}"] = reason
    return told


def own_unit(figure: Mapping[str, Any]) -> str:
    """`0.442 [0.411, 0.473]`, the value alone without interval, or a dash."""
    value, low, high = (figure[key] for key in ("value", "low", "high"))
    if value is None:
        return "–"
    return f"{value:.4g}" + ("" if low is None else f" [{low:.4g}, {high:.4g}]")


def _row(name: str, capabilities: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        model: capabilities[model][name] for model in MODELS if name in capabilities.get(model, {})
    }


def _metric(name: str, row: Mapping[str, Mapping[str, Any]]) -> Metric:
    better = next((figure["better"] for figure in row.values() if figure["better"]), "")
    return Metric(name, name, name, LOWER_IS_BETTER.get(better))
