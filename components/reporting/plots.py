"""Training curves, drawn by matplotlib without a display."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curves = Sequence[Mapping[str, float]]

FIRST = (
    "reward_mean", "kl", "loss", "validation_loss", "accuracy", "validation_accuracy",
    "policy_loss", "value_loss", "entropy", "response_length",
)  # fmt: skip
# Known before the run or different in every run: they tell nothing of the learning.
HIDDEN = frozenset({"step", "time", "learning_rate", "tokens_per_second"})
PANELS = 6
# A colour that nothing else uses: in the page it becomes `currentColor`, so axes follow the theme.
INK = "#010203"


def curves_svg(curves: Curves, salt: str) -> str:
    """A trainer's curves as inline SVG, one panel per logged quantity; empty where none is logged.

    Args:
        curves: Logged steps, each with `step` and any quantities.
        salt: Makes the SVG's ids unlike those of other figures on the page.
    """
    import matplotlib

    if not panel_names(curves):
        return ""
    # The salt fixes ids and no date is written: the same curves give the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        figure = _draw(curves, INK)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :].replace(INK, "currentColor")


def save_png(curves: Curves, path: Path) -> None:
    """The same figure as a PNG on white; nothing is written where nothing is logged."""
    if panel_names(curves):
        _draw(curves, "black").savefig(
            path, dpi=150, facecolor="white", metadata={"Software": None}
        )


def panel_names(curves: Curves) -> list[str]:
    """Quantities to draw, the well-known first, at most `PANELS`."""
    logged = {name: None for row in curves for name in row if name not in HIDDEN}
    known = [name for name in FIRST if name in logged]
    return [*known, *(name for name in logged if name not in known)][:PANELS]


def _draw(curves: Curves, ink: str) -> "Figure":
    from matplotlib.figure import Figure

    names = panel_names(curves)
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.3 * columns, 2.2 * rows), layout="constrained")
    for place, name in enumerate(names, start=1):
        points = [(row["step"], row[name]) for row in curves if name in row]
        panel = figure.add_subplot(rows, columns, place)
        panel.plot(*zip(*points, strict=True), color="#3f7fbf", linewidth=1.4)
        title = "KL to the reference" if name == "kl" else name.replace("_", " ")
        panel.set_title(title, fontsize=10, color=ink, loc="left")
        panel.tick_params(labelsize=8, colors=ink, length=2)
        panel.grid(color=ink, alpha=0.12, linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set(color=ink, alpha=0.4)
        panel.set_xlabel("step", fontsize=8, color=ink)
    return figure
