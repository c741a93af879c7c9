"""Ablations: curves over data scale and other axes, where a run's folder holds their outcome.

`ablations/<name>.json` in the run's folder:

    {"axis": "pairs trained on",
     "points": [{"x": 100, "seed": 1, "model": "dpo", "figures": {"harm_eval_usr": {...}}}, ...]}

`x` is a number, or a name where the axis has no order. Figures are as in `summary.json`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from components.reporting import plots
from components.reporting.charts import Chart
from components.reporting.files import read_json
from components.reporting.labels import metric_of, model_label
from components.reporting.tables import Table, figure_cells

FOLDER = "ablations"
COLUMNS = ("figure", "model", "x", "seed", "value", "low", "high", "n")


def ablation_charts(run: Path | None) -> list[Chart]:
    """A chart an ablation: a panel a figure, a line a model, a point a seed.

    Raises:
        InputError: If a file is no JSON object.
    """
    files = sorted((run / FOLDER).glob("*.json")) if run else []
    return [_chart(file.stem, read_json(file, file.name)) for file in files]


def _chart(name: str, content: Mapping[str, Any]) -> Chart:
    rows = [
        (key, point["model"], point["x"], point["seed"], *figure_cells(figure))
        for point in content["points"]
        for key, figure in point["figures"].items()
        if figure["value"] is not None
    ]
    panels = _panels(rows)
    seeds = len({point["seed"] for point in content["points"]})
    axis = str(content["axis"])
    title = f"{name.replace('_', ' ').capitalize()}, by {axis}"
    words = f"{len(panels)} figures by {axis}, {seeds} seeds; points are seeds, lines their means."
    draw = partial(plots.scale_curves, panels, axis)
    return Chart(f"ablation-{name}", title, words, draw, Table(COLUMNS, rows))


def _panels(rows: Iterable[Sequence[Any]]) -> dict[str, plots.Lines]:
    """Values in percent by figure, model and x."""
    panels: dict[str, Any] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for key, model, x, _, value, *_ in rows:
        panels[metric_of(key).label][model_label(model)][x].append(100 * value)
    return {
        label: {model: _in_order(points) for model, points in models.items()}
        for label, models in panels.items()
    }


def _in_order(points: Mapping[Any, list[float]]) -> dict[Any, list[float]]:
    """Numbers in their order, names as they came."""
    named = any(isinstance(x, str) for x in points)
    return dict(points) if named else dict(sorted(points.items()))
