"""Statistics over seeds and items: figures of a variant, differences of two, and their tests.

A variant has a score for every seed and item, `[seeds, items]`. Seeds and items are both drawn from
more of their kind, so that the mean has two parts of variance: that of the seeds' means, and that
of the items' means. Their sum is at least the variance of the mean over crossed random effects
(Cornfield and Tukey 1956): what seeds and items do together is counted in both. Its degrees of
freedom are Satterthwaite's (1946).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from spavl.statistics import CONFIDENCE, holm, rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

Direction = Literal["lower", "higher", "alike"]
Outcome = Literal["supported", "not supported", "undecided"]


@dataclass(frozen=True)
class Mean:
    """A mean over seeds and items.

    Attributes:
        value: The mean.
        error: Its standard error.
        freedom: Degrees of freedom of that.
        seeds: Seeds.
        items: Items.
    """

    value: float
    error: float
    freedom: float
    seeds: int
    items: int

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Low and high, by Student's t."""
        from scipy.stats import t

        half = float(t.ppf((1 + confidence) / 2, self.freedom)) * self.error
        return self.value - half, self.value + half

    def p_above(self, bound: float) -> float:
        """One-sided p of the hypothesis that the true mean is at most the bound."""
        from scipy.stats import t

        return float(t.sf((self.value - bound) / self.error, self.freedom))

    def p_below(self, bound: float) -> float:
        """One-sided p of the hypothesis that the true mean is at least the bound."""
        from scipy.stats import t

        return float(t.cdf((self.value - bound) / self.error, self.freedom))


def seeded_mean(scores: "NDArray[Any]") -> Mean:
    """The mean of scores with the variance of seeds and of items.

    One seed tells nothing of other seeds; its mean then speaks of that training alone. Where no
    item differs from another, an error of nothing would claim certainty: the bound of no
    hits in as many items stands in.

    Args:
        scores: Float `[seeds, items]`, of two items or more.
    """
    import numpy as np

    seeds, items = scores.shape
    of_items = float(np.var(scores.mean(axis=0), ddof=1)) / items
    of_seeds = float(np.var(scores.mean(axis=1), ddof=1)) / seeds if seeds > 1 else 0.0
    if of_items == 0:
        of_items = ((rate(0, items).high or 1.0) / 1.96) ** 2
    parts = of_seeds**2 / max(seeds - 1, 1) + of_items**2 / (items - 1)
    total = of_seeds + of_items
    return Mean(float(scores.mean()), total**0.5, total**2 / parts, seeds, items)


def difference(first: "NDArray[Any]", second: "NDArray[Any]") -> Mean:
    """Mean of first - second, seed by seed and item by item.

    Args:
        first: Float `[seeds, items]`.
        second: The same, or `[1, items]` of what has no seeds.
    """
    return seeded_mean(first - second)


@dataclass(frozen=True)
class Evidence:
    """What speaks for a comparison and what against it, as p-values of 0 to 1."""

    supports: float
    contradicts: float


def evidence(found: Mean, direction: Direction, within: float) -> Evidence:
    """P-values of a difference.

    Args:
        found: The difference, of the compared variant less the other.
        direction: What is expected of it; alike is shown by two one-sided tests.
        within: What counts as alike, at most.
    """
    above, below = found.p_above(0.0), found.p_below(0.0)
    if direction == "alike":
        inside = max(found.p_above(-within), found.p_below(within))
        outside = min(1.0, 2 * min(found.p_above(within), found.p_below(-within)))
        return Evidence(inside, outside)
    return Evidence(below, above) if direction == "lower" else Evidence(above, below)


def joined(comparisons: list[Evidence]) -> Evidence:
    """The evidence of several comparisons that must all hold.

    All hold only if the weakest does (intersection-union test), which needs no correction; any of
    them contradicts, which Bonferroni corrects.
    """
    against = min(each.contradicts for each in comparisons) * len(comparisons)
    return Evidence(max(each.supports for each in comparisons), min(1.0, against))


@dataclass(frozen=True)
class Verdict:
    """What became of a hypothesis: its outcome and Holm's adjusted p-values."""

    outcome: Outcome
    supports: float
    contradicts: float


def verdicts(hypotheses: list[Evidence], confidence: float = CONFIDENCE) -> list[Verdict]:
    """Outcomes of several hypotheses.

    P-values of either side are adjusted by Holm over the hypotheses; each side may err in as many
    runs as 1 - confidence, all of a plan's hypotheses together. One-sided tests are held to half of
    that, so that an outcome and the interval shown beside it agree.
    """
    adjusted = zip(
        holm([each.supports for each in hypotheses]),
        holm([each.contradicts for each in hypotheses]),
        strict=True,
    )
    level = (1 - confidence) / 2
    return [Verdict(_outcome(yes, no, level), yes, no) for yes, no in adjusted]


def _outcome(supports: float, contradicts: float, level: float) -> Outcome:
    if supports <= level:
        return "supported"
    return "not supported" if contradicts <= level else "undecided"
