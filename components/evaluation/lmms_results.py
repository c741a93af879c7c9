"""What lmms-eval's results mean: figures with samples and an interval, where they have one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from spavl.statistics import Estimate, rate

SOURCE = "lmms-eval"
STANDARD_ERRORS = ("stderr", "stderr_clt", "stderr_clustered")


@dataclass(frozen=True)
class Capability:
    """A figure of lmms-eval, in the metric's own unit.

    Attributes:
        value: The figure; None where it was not measured.
        low: Lower bound; None where lmms-eval gives no standard error that belongs to the figure.
        high: Upper bound; None like `low`.
        n: Samples behind it.
        better: `higher` or `lower`; empty where the task does not say.
        note: Why something is None; empty otherwise.
        source: Whose figure it is.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    better: str = ""
    note: str = ""
    source: str = SOURCE


def failed(reason: str) -> Capability:
    """The figure of a task that was not measured."""
    return Capability(None, None, None, 0, note=f"not measured: {reason}")


def printable(text: str) -> str:
    """The text with a blank for each sign that is not seen: line ends, control signs."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def read_results(content: Mapping[str, Any], confidence: float) -> dict[str, Capability]:
    """The figures of a results file by `task/metric`, with the filter where there is one.

    Args:
        content: A `*_results.json` of lmms-eval.
        confidence: Coverage of the intervals.
    """
    figures = {}
    for task, found in content["results"].items():
        n = _samples(content, task)
        directions = content.get("higher_is_better", {}).get(task, {})
        for key, value in found.items():
            metric, _, filtered = key.partition(",")
            if not filtered or metric.endswith(("_stderr", "_stderr_clt", "_stderr_clustered")):
                continue
            name = f"{task}/{metric}" + ("" if filtered == "none" else f"/{filtered}")
            better = {True: "higher", False: "lower"}.get(directions.get(metric), "")
            errors = {end: found.get(f"{metric}_{end},{filtered}") for end in STANDARD_ERRORS}
            figures[printable(name)] = _figure(value, n, better, errors, confidence)
    return figures


def _figure(
    value: Any, n: int, better: str, errors: Mapping[str, Any], confidence: float
) -> Capability:
    if not _is_number(value):
        return Capability(None, None, None, 0, better, f"no number: {str(value)[:40]!r}")
    found = _interval(float(value), n, errors, confidence)
    if found is None:
        note = "no interval: lmms-eval gives no standard error of this figure"
        if value == 0 and any(error == 0 for error in errors.values()):
            note = "no interval: the standard error of a figure that is 0 does not show its unit"
        return Capability(float(value), None, None, n, better, note)
    return Capability(found.value, found.low, found.high, n, better)


def _interval(
    value: float, n: int, errors: Mapping[str, Any], confidence: float
) -> Estimate | None:
    """The binomial one for a share of yes and no, like every rate; else the normal one.

    lmms-eval's `stderr` is of the figure itself. `stderr_clt` and `stderr_clustered` are of the
    samples' scores, which need not be what the figure is made of (an F1 score is not): they are
    taken only where they show that the figure is the mean of scores that are 0 or 1, or 0 or 100.

    Where all scores are 0, so is the standard error, and neither shows a unit: no interval. A grade
    that is 1 (or 100) everywhere cannot be told from a share without a fault, and gets a share's.
    """
    known = {name: float(error) for name, error in errors.items() if _is_number(error)}
    width = NormalDist().inv_cdf(0.5 + confidence / 2)
    units = ((1, 1), (100, 1), (100, 100)) if value else ()  # of the figure, of the samples' scores
    for unit, scale in units:
        spread = [known[name] / scale for name in ("stderr", "stderr_clt") if name in known]
        if not any(_is_share(value / unit, n, error) for error in spread):
            continue
        if clustered := known.get("stderr_clustered", 0.0):
            reach = width * clustered * unit / scale
            return Estimate(value, max(0.0, value - reach), min(float(unit), value + reach), n)
        share = rate(round(value / unit * n), n, confidence)
        return Estimate(value, unit * (share.low or 0.0), unit * (share.high or 0.0), n)
    if own := known.get("stderr"):
        return Estimate(value, value - width * own, value + width * own, n)
    return None


def _is_share(share: float, n: int, error: float) -> bool:
    """Whether a share of n yes and no has this standard error of the mean."""
    if n < 2 or not 0 <= share <= 1 or abs(share * n - round(share * n)) > 1e-6 * n:
        return False
    return math.isclose(error, math.sqrt(share * (1 - share) / (n - 1)), rel_tol=1e-4, abs_tol=1e-9)


def _samples(content: Mapping[str, Any], task: str) -> int:
    """Samples of a task; of a group, its tasks' together."""
    counts = content.get("n-samples", {})
    members = [task] if task in counts else content.get("group_subtasks", {}).get(task, ())
    return sum(int(counts[each]["effective"]) for each in members if each in counts)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
