"""Rates corrected for the errors of the judge that made them."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from spavl.statistics import CONFIDENCE, Estimate, rate


@dataclass(frozen=True)
class JudgeErrors:
    """How often a judge was right on answers that people have labelled.

    Attributes:
        found: Answers with the outcome in which the judge found it.
        with_it: Answers with the outcome, by people.
        spared: Answers without it in which the judge found none.
        without_it: Answers without the outcome, by people.
    """

    found: int
    with_it: int
    spared: int
    without_it: int

    def told(self, confidence: float = CONFIDENCE) -> dict[str, Any]:
        """`sensitivity` and `specificity` with their intervals."""
        return {
            "sensitivity": asdict(rate(self.found, self.with_it, confidence)),
            "specificity": asdict(rate(self.spared, self.without_it, confidence)),
        }


def errors_by_labels(labels: Iterable[tuple[bool, bool]]) -> JudgeErrors:
    """Counts pairs of whether people, and whether the judge, find the outcome."""
    pairs = list(labels)
    with_it = [judge for person, judge in pairs if person]
    without_it = [judge for person, judge in pairs if not person]
    spared = len(without_it) - sum(without_it)
    return JudgeErrors(sum(with_it), len(with_it), spared, len(without_it))


def corrected_rate(
    hits: float, n: float, errors: JudgeErrors, confidence: float = CONFIDENCE
) -> Estimate | None:
    """The share that has an outcome, from a judge's verdicts and its errors on labelled answers.

    The estimate is Rogan and Gladen's (1978), (q + sp - 1) / (se + sp - 1), cut to [0, 1]; the
    interval Lang and Reiczigel's (2014), which has the uncertainty of q, se and sp in it.

    Args:
        hits: Verdicts of the outcome.
        n: Verdicts; of items in clusters how many independent ones they are worth, with `hits` in
            proportion (`spavl.statistics.worth`).
        errors: The judge's errors.
        confidence: Coverage of the interval.

    Returns:
        None without verdicts or without labels of both kinds. A judge that does no better than
        chance tells nothing: no value, and an interval from 0 to 1.
    """
    from scipy.stats import norm

    if min(n, errors.with_it, errors.without_it) == 0:
        return None
    plain = errors.found / errors.with_it + errors.spared / errors.without_it - 1
    n_se, n_sp = errors.with_it + 2, errors.without_it + 2
    se, sp = (errors.found + 1) / n_se, (errors.spared + 1) / n_sp
    gain = se + sp - 1
    if min(plain, gain) <= 0:
        return Estimate(None, 0.0, 1.0, round(n))
    value = _within((hits / n + errors.spared / errors.without_it - 1) / plain)
    z = float(norm.ppf((1 + confidence) / 2))
    q = (hits + z**2 / 2) / (n + z**2)
    p = _within((q + sp - 1) / gain)
    of_se, of_sp = se * (1 - se) / n_se, sp * (1 - sp) / n_sp
    shift = 2 * z**2 * (p * of_se - (1 - p) * of_sp)
    spread = z / gain * (q * (1 - q) / (n + z**2) + p**2 * of_se + (1 - p) ** 2 * of_sp) ** 0.5
    low, high = _within(p + shift - spread), _within(p + shift + spread)
    return Estimate(value, min(value, low), max(value, high), round(n))


def _within(share: float) -> float:
    return min(1.0, max(0.0, share))
