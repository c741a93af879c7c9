"""How charts are drawn: matplotlib figures without a display."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves = Sequence[Mapping[str, float]]
Lines = Mapping[str, Mapping[float | str, Sequence[float]]]
"""By line and x: the values of all seeds."""
Whiskers = Mapping[float | str, tuple[float, float]]
"""By x: the interval of the mean."""

FIRST = (
    "reward_mean", "kl", "loss", "validation_loss", "accuracy", "validation_accuracy",
    "policy_loss", "value_loss", "entropy", "response_length",
)  # fmt: skip
# Known before the run or different in every run: they tell nothing of the learning.
HIDDEN = frozenset({"step", "time", "epoch", "learning_rate", "tokens_per_second"})
PANELS = 6
WIDE = 4.6  # inches; a phone shows it without much shrinking
BINS = 40
# Nearly black, and a colour that nothing else has: in the page it becomes the text's own colour.
INK = "#010203"
# Told apart by every common colour vision, and legible on white and on black.
BLUE, ORANGE, GREY = "#3f7fbf", "#d9792b", "#8a8f96"
PALETTE = (BLUE, ORANGE, "#3f9a6d", "#a05fb4", "#b8912a", GREY)


def panel_names(curves: Curves) -> list[str]:
    """Quantities to draw, the well-known first, at most `PANELS`."""
    logged = {name: None for row in curves for name in row if _worth_seeing(name, curves)}
    known = [name for name in FIRST if name in logged]
    return [*known, *(name for name in logged if name not in known)][:PANELS]


def _worth_seeing(name: str, curves: Curves) -> bool:
    """Whether there is a course: not a point, not a level line, no validation of two points."""
    values = [row[name] for row in curves if name in row]
    least = 3 if name.startswith("validation") else 2
    return name not in HIDDEN and len(values) >= least and len(set(values)) > 1


def training_curves(curves: Curves, names: Sequence[str]) -> "Figure":
    """One panel a quantity, over steps."""
    from matplotlib.figure import Figure

    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.3 * columns, 2.2 * rows), layout="constrained")
    for place, name in enumerate(names, start=1):
        points = [(row["step"], row[name]) for row in curves if name in row]
        panel = figure.add_subplot(rows, columns, place)
        panel.plot(*zip(*points, strict=True), color=BLUE, linewidth=1.4)
        title = "KL to the reference" if name == "kl" else name.replace("_", " ")
        panel.set_title(title, fontsize=10, color=INK, loc="left")
        _dress(panel, "step")
    return figure


def distributions(samples: Mapping[str, Sequence[float]], quantity: str) -> "Figure":
    """Histograms over common bins, as shares of each sample."""
    import numpy as np

    figure, panel = _one_panel(WIDE, 2.8)
    edges = np.histogram_bin_edges([v for each in samples.values() for v in each], BINS)
    for (name, values), colour in zip(samples.items(), (GREY, BLUE), strict=False):
        share = np.histogram(values, edges)[0] / max(1, len(values))
        label = f"{name} (n={len(values)})"
        panel.stairs(share, edges, fill=True, alpha=0.35, color=colour)
        panel.stairs(share, edges, color=colour, linewidth=1.4, label=label)
    panel.set_ylabel("share of answers", fontsize=8, color=INK)
    panel.legend(frameon=False, fontsize=8, labelcolor=INK)
    _dress(panel, quantity)
    return figure


def shares(rows: Sequence[tuple[str, int, int, int]]) -> "Figure":
    """A bar a row: wins, ties and losses as shares, with the counts written in."""
    figure, panel = _one_panel(WIDE, 0.9 + 0.42 * len(rows))
    for place, (_, *counts) in enumerate(reversed(rows)):
        left = 0.0
        for n, colour in zip(counts, (BLUE, GREY, ORANGE), strict=True):
            width = 100 * n / max(1, sum(counts))
            panel.barh(place, width, left=left, height=0.62, color=colour)
            if width > 5:
                panel.text(
                    left + width / 2, place, n, ha="center", va="center", fontsize=8, color="black"
                )
            left += width
    panel.set_yticks(range(len(rows)), [row[0] for row in reversed(rows)])
    panel.set_xlim(0, 100)
    handles = [panel.barh(0, 0, color=colour) for colour in (BLUE, GREY, ORANGE)]
    panel.legend(
        handles, ("win", "tie", "loss"), ncols=3, loc="lower left", bbox_to_anchor=(0, 1),
        frameon=False, fontsize=8, labelcolor=INK,
    )  # fmt: skip
    _dress(panel, "% of answers")
    return figure


def intervals(rows: Sequence[tuple[Any, ...]]) -> "Figure":
    """A point with its interval a row (name, group, value, low, high, n), coloured by group."""
    figure, panel = _one_panel(WIDE, 0.8 + 0.28 * len(rows))
    groups = sorted({row[1] for row in rows if row[1] is not None})
    for place, (_, group, value, low, high, _) in enumerate(reversed(rows)):
        colour = PALETTE[groups.index(group) % len(PALETTE)] if group is not None else GREY
        panel.plot((100 * low, 100 * high), (place, place), color=colour, linewidth=3, alpha=0.5)
        panel.plot(100 * value, place, "o", color=colour, markersize=5)
    names = [f"{row[0]}  (group {row[1]})" if row[1] is not None else row[0] for row in rows]
    panel.set_yticks(range(len(rows)), names[::-1])
    panel.set_xlim(0, 100)
    _dress(panel, "% safe")
    return figure


def scale_curves(
    panels: Mapping[str, Lines], axis: str, intervals: Mapping[str, Whiskers]
) -> "Figure":
    """A panel a figure: the seeds as points, their means with intervals, over numbers as a line."""
    from matplotlib.figure import Figure

    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.3 * columns, 2.4 * rows), layout="constrained")
    for place, (label, lines) in enumerate(panels.items(), start=1):
        panel = figure.add_subplot(rows, columns, place)
        for (name, points), colour in zip(lines.items(), cycle(PALETTE), strict=False):
            _scale_curve(panel, name, points, colour)
        for x, (low, high) in intervals.get(label, {}).items():
            panel.plot([x, x], [low, high], color=INK, alpha=0.6, linewidth=1.2)
        panel.set_title(f"{label}, %", fontsize=9, color=INK, loc="left")
        panel.legend(frameon=False, fontsize=7, labelcolor=INK)
        named = any(isinstance(x, str) for points in lines.values() for x in points)
        _dress(panel, "" if named else axis)
        if named:
            panel.tick_params("x", labelrotation=30, labelsize=7)
    return figure


def _scale_curve(
    panel: "Axes", name: str, points: Mapping[float | str, Sequence[float]], colour: str
) -> None:
    for x, values in points.items():
        panel.plot([x] * len(values), values, "o", color=colour, markersize=3, alpha=0.5)
    means = [sum(values) / len(values) for values in points.values()]
    if any(isinstance(x, str) for x in points):  # names have no order that a line could follow
        panel.plot(list(points), means, "D", color=colour, markersize=5, label=name)
        return
    panel.plot(list(points), means, color=colour, linewidth=1.4, label=name)
    numbers = [float(x) for x in points]
    if min(numbers) > 0 and max(numbers) >= 10 * min(numbers):
        panel.set_xscale("log")
        panel.set_xticks(numbers, [f"{number:,.0f}" for number in numbers])
        panel.set_xticks([], minor=True)


def heat(names: Sequence[str], columns: Sequence[str], cells: Sequence[Any]) -> "Figure":
    """A map of shares, a row a class and a column a model; what is unknown stays empty."""
    import numpy as np

    figure, panel = _one_panel(5.0, 1.0 + 0.2 * len(names))
    values = np.array(cells, dtype=float)
    panel.imshow(100 * values, cmap="YlOrRd", vmin=0, vmax=100, aspect="auto")
    for row, column in np.argwhere(~np.isnan(values)):
        share = 100 * values[row, column]
        colour = "white" if share > 60 else "black"
        panel.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=7, color=colour)
    panel.set_yticks(range(len(names)), names)
    panel.set_xticks(range(len(columns)), columns)
    panel.xaxis.tick_top()
    panel.tick_params(labelsize=8, colors=INK, length=0)
    return figure


def _one_panel(width: float, height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _dress(panel: "Axes", along: str) -> None:
    panel.tick_params(labelsize=8, colors=INK, length=2)
    panel.grid(color=INK, alpha=0.12, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set(color=INK, alpha=0.4)
    panel.set_xlabel(along, fontsize=8, color=INK)
