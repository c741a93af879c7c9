"""Ablations: curves over data scale and other axes, where a run's folder holds their outcome.

`ablations/<name>.json` in the run's folder:

    {"axis": "pairs trained on",
     "points": [{"x": 100, "seed": 1, "model": "dpo", "figures": {"harm_eval_usr": {...}}}, ...]}

`x` is a number, or a name where the axis has no order. Figures are as in `summary.json`. Where the
ablation had a plan, `variants` holds means over seeds and `hypotheses` what became of each.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.reporting import plots
from components.reporting.charts import Chart
from components.reporting.files import read_json
from components.reporting.labels import known_metrics, metric_of, model_label
from components.reporting.summary import percent
from components.reporting.tables import Table, figure_cells

if TYPE_CHECKING:
    from rich.table import Table as Shown

FOLDER = "ablations"
OUTCOMES = {"supported": "green", "not supported": "red", "undecided": "yellow"}
HYPOTHESIS_COLUMNS = (
    "hypothesis",
    "outcome",
    "expected",
    "figure",
    "difference, points",
    "p, Holm",
)
COLUMNS = ("figure", "model", "x", "seed", "value", "low", "high", "n")


def ablation_charts(run: Path | None) -> list[Chart]:
    """A chart an ablation: a panel a figure, a line a model, a point a seed.

    Raises:
        InputError: If a file is no JSON object.
    """
    return charts_of(read_ablations(run))


def charts_of(ablations: Mapping[str, Mapping[str, Any]]) -> list[Chart]:
    """A chart an ablation."""
    return [_chart(name, content) for name, content in ablations.items()]


def read_ablations(run: Path | None) -> dict[str, Mapping[str, Any]]:
    """The ablations of a run's folder, by name.

    Raises:
        InputError: If a file is no JSON object.
    """
    return ablations_in(run / FOLDER) if run else {}


def ablations_in(folder: Path) -> dict[str, Mapping[str, Any]]:
    """The ablations of a folder, by name."""
    return {file.stem: read_json(file, file.name) for file in sorted(folder.glob("*.json"))}


def hypotheses_of(ablations: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for every comparison of every hypothesis, with the hypothesis' outcome."""
    rows = [
        (
            told["says"],
            told["outcome"],
            each["expected"],
            metric_of(each["figure"]).short,
            percent(each["difference"]),
            f"{_p(told):.4f}" if _p(told) >= 0.0001 else "< 0.0001",
        )
        for content in ablations.values()
        for told in content.get("hypotheses", ())
        for each in told["comparisons"]
    ]
    return Table(HYPOTHESIS_COLUMNS, rows)


def variants_of(content: Mapping[str, Any]) -> Table:
    """Means over seeds of an axis' variants: a row a variant, a column a figure."""
    keys = list(
        dict.fromkeys(k for row in content["variants"] for k, _ in _known_first(row["figures"]))
    )
    columns = ("variant", *(f"{metric_of(key).short} {metric_of(key).arrow}" for key in keys))
    rows = [
        (row["variant"], *(percent(row["figures"].get(key)) for key in keys))
        for row in content["variants"]
    ]
    return Table(columns, rows)


def hypothesis_table(ablations: Mapping[str, Mapping[str, Any]]) -> "Shown":
    """What became of the hypotheses, for a terminal."""
    from rich.table import Table as Shown

    table = Shown(
        title="Hypotheses: differences in points, 95% interval; p by Holm over all of them",
        box=None,
        padding=(0, 1, 0, 0),
    )
    for name in ("hypothesis", "outcome", "expected", "difference"):
        table.add_column(name, justify="right" if name == "difference" else "left")
    for content in ablations.values():
        for told in content["hypotheses"]:
            for place, each in enumerate(told["comparisons"]):
                colour = OUTCOMES[told["outcome"]]
                outcome = f"[{colour}]{told['outcome']}[/] p {_p(told):.2g}"
                table.add_row(
                    *(("", "") if place else (told["id"], outcome)),
                    f"{metric_of(each['figure']).short}: {each['expected']}",
                    percent(each["difference"]),
                )
    return table


def variant_table(name: str, content: Mapping[str, Any]) -> "Shown":
    """Means over seeds of every variant of an axis, for a terminal."""
    from rich.table import Table as Shown

    table = Shown(
        title=f"{name} by {content['axis']}: %, {over_seeds(content)}",
        box=None,
        padding=(0, 1, 0, 0),
    )
    found = variants_of(content)
    for place, column in enumerate(found.columns):
        table.add_column(str(column), justify="right" if place else "left", no_wrap=not place)
    for row in found.rows:
        table.add_row(*row)
    return table


def over_seeds(content: Mapping[str, Any]) -> str:
    """What the intervals of an axis hold."""
    seeds = len({point["seed"] for point in content["points"]})
    if seeds == 1:
        return "one training each, 95% over items; training is not in it"
    return f"mean of {seeds} seeds, 95% over seeds and items"


def _p(told: Mapping[str, Any]) -> float:
    """The p-value that the outcome rests on."""
    against = told["outcome"] == "not supported"
    return float(told["p_contradicts_holm" if against else "p_supports_holm"])


def _chart(name: str, content: Mapping[str, Any]) -> Chart:
    rows = [
        (key, point["model"], point["x"], point["seed"], *figure_cells(figure))
        for point in content["points"]
        for key, figure in _known_first(point["figures"])
        if figure["value"] is not None
    ]
    panels = _panels(rows)
    seeds = len({point["seed"] for point in content["points"]})
    axis = str(content["axis"])
    title = f"{name.replace('_', ' ').capitalize()}, by {axis}"
    words = f"{len(panels)} figures by {axis}, {seeds} seeds; each seed's points and their means."
    draw = partial(plots.scale_curves, panels, axis, _intervals(content))
    return Chart(f"ablation-{name}", title, words, draw, Table(COLUMNS, rows))


def _known_first(figures: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Figures in the order of the data table, those without a name there last."""
    known = list(known_metrics())
    return sorted(figures.items(), key=lambda each: (*known, each[0]).index(each[0]))


def _panels(rows: Iterable[Sequence[Any]]) -> dict[str, plots.Lines]:
    """Values in percent by figure, model and x."""
    panels: dict[str, Any] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for key, model, x, _, value, *_ in rows:
        panels[metric_of(key).label][model_label(model)][x].append(100 * value)
    return {
        label: {model: _in_order(points) for model, points in models.items()}
        for label, models in panels.items()
    }


def _intervals(content: Mapping[str, Any]) -> dict[str, dict[Any, tuple[float, float]]]:
    """Intervals of the means in percent by figure and x, where there are any."""
    shown = {point["x"] for point in content["points"]}
    found: dict[str, dict[Any, tuple[float, float]]] = defaultdict(dict)
    for row in content.get("variants", ()):
        for key, figure in row["figures"].items():
            if row["x"] in shown:
                bounds = (100 * figure["low"], 100 * figure["high"])
                found[metric_of(key).label][row["x"]] = bounds
    return found


def _in_order(points: Mapping[Any, list[float]]) -> dict[Any, list[float]]:
    """Numbers in their order, names as they came."""
    named = any(isinstance(x, str) for x in points)
    return dict(points) if named else dict(sorted(points.items()))
