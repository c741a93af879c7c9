"""The report's charts: which there are, what they say in words, and the numbers behind them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from components.reporting import plots
from components.reporting.breakdown import Breakdown
from components.reporting.files import read_curves
from components.reporting.inputs import ReportInputs
from components.reporting.labels import benchmark_label, model_label, spaced
from components.reporting.svg import PLAIN
from components.reporting.tables import Table
from spavl.records import Rollout
from spavl.shards import read_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAINERS = {"reward_model": "Reward model", "dpo": "DPO", "ppo": "PPO"}
DECILES = 10


@dataclass(frozen=True)
class Chart:
    """A chart of the page and of `plots/`.

    Attributes:
        name: Its file's name, and its id on the page.
        title: What it shows.
        words: What can be seen in it, for those who do not see it.
        draw: Draws it.
        table: Its numbers.
        parts: Draw its panels one by one: a narrow page sets them below one another.
    """

    name: str
    title: str
    words: str
    draw: Callable[[], "Figure"]
    table: Table
    parts: tuple[Callable[[], "Figure"], ...] = ()

    @cached_property
    def figure(self) -> "Figure":
        """The chart, drawn and laid out once for page and PNG."""
        return laid_out(self.draw)


def laid_out(draw: Callable[[], "Figure"]) -> "Figure":
    """A figure whose layout no later drawing changes."""
    import matplotlib

    with matplotlib.rc_context(PLAIN):
        figure = draw()
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def training_charts(inputs: ReportInputs) -> list[Chart]:
    """The curves of every trainer that logged something."""
    charts = []
    for name, heading in TRAINERS.items():
        curves = read_curves(inputs.models[name])
        quantities = plots.panel_names(curves)
        if not quantities:
            continue
        rows = []
        for quantity in quantities:
            values = [row[quantity] for row in curves if quantity in row]
            rows.append((spaced(quantity), values[0], values[-1], min(values), max(values)))
        words = "; ".join(f"{row[0]} from {row[1]:.3g} to {row[2]:.3g}" for row in rows)
        table = Table(("quantity", "first", "last", "lowest", "highest"), rows)
        draw = partial(plots.training_curves, curves, quantities)
        parts = tuple(partial(plots.training_curves, curves, [each]) for each in quantities)
        told = f"Over training: {words}."
        charts.append(Chart(f"training-{name}", heading, told, draw, table, parts))
    return charts


def reward_chart(inputs: ReportInputs) -> Chart | None:
    """The rewards of PPO's answers in its first and its last iteration."""
    import numpy as np

    rewards: dict[int, list[float]] = {}
    for row in read_rows(inputs.rollouts, Rollout, ["iteration", "reward"], verify=False):
        rewards.setdefault(row["iteration"], []).append(row["reward"])
    if not rewards:
        return None
    ends = {f"iteration {each + 1}": rewards[each] for each in sorted({min(rewards), max(rewards)})}
    shares = np.linspace(0, 100, DECILES + 1)
    columns = ("iteration", *(f"{share:.0f}%" for share in shares))
    rows = [(name, *np.percentile(values, shares).tolist()) for name, values in ends.items()]
    middle = "; ".join(f"{row[0]} median {row[1 + DECILES // 2]:.2f}" for row in rows)
    title = "Rewards of PPO's answers, at the start and at the end"
    return Chart(
        "rewards", title, f"Distributions of the reward: {middle}.",
        partial(plots.distributions, ends, "reward"), Table(columns, rows),
    )  # fmt: skip


def win_chart(breakdown: Breakdown) -> Chart | None:
    """Wins, ties and losses against the base."""
    rows = [
        (f"{benchmark_label(benchmark)}, {model_label(model)}", *counts)
        for benchmark, model, counts in breakdown.compared()
    ]
    if not rows:
        return None
    words = "; ".join(
        f"{name}: {win} won, {tie} tied, {loss} lost" for name, win, tie, loss in rows
    )
    return Chart(
        "wins", "Against the base: won, tied, lost", words + ".",
        partial(plots.shares, rows), Table(("answers", "win", "tie", "loss"), rows),
    )  # fmt: skip


def responder_chart(responders: Mapping[str, Mapping[str, Any]]) -> Chart | None:
    """Safety rates of the responders, with intervals, by group."""
    rows = []
    for name, row in responders.items():
        figure = row["safety_rate"] or row["safe"]
        bounds = (figure["value"], figure["low"], figure["high"], figure["n"])
        rows.append((name, row["group"], *bounds))
    if not rows:
        return None
    words = "; ".join(f"{row[0]} {100 * row[2]:.0f}%" for row in rows)
    columns = ("responder", "group", "safe", "low", "high", "n")
    grouped = any(row["safety_rate"] for row in responders.values())
    place = " on harmful pictures" if grouped else ""
    return Chart(
        "responders", f"Safe answers{place}, by responder, with 95% intervals", words + ".",
        partial(plots.intervals, rows), Table(columns, rows),
    )  # fmt: skip


def heat_charts(breakdown: Breakdown) -> list[Chart]:
    """Harm by class, one a benchmark: for `plots/`, since the page shows it as a table."""
    charts = []
    for benchmark, rows in breakdown.harm.items():
        models = list(rows[0].figures)
        cells = [
            [row.figures[m].value if m in row.figures else None for m in models] for row in rows
        ]
        columns = ("domain", "category", "class", *(f"{m} {k}" for m in models for k in KEYS))
        numbers = [
            (row.domain, row.category, row.name, *_estimates(row.figures, models)) for row in rows
        ]
        title = f"{benchmark_label(benchmark)}: faults by class"
        draw = partial(plots.heat, [row.name for row in rows], models, cells)
        charts.append(Chart(f"classes-{benchmark}", title, title, draw, Table(columns, numbers)))
    return charts


KEYS = ("value", "low", "high", "n")


def _estimates(figures: Mapping[str, Any], models: Sequence[str]) -> list[Any]:
    found = [figures.get(model) for model in models]
    return [getattr(each, key, None) for each in found for key in KEYS]
