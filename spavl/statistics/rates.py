"""Shares of yes and no, of independent items and of items in clusters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spavl.statistics.estimates import CONFIDENCE, NOTHING, Clusters, Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEEN = 2 / 3
"""Share of the observed count's own probability that its tail holds. With 1 the interval is Clopper
and Pearson's (1934), whose coverage passes 0.97 in places; with 1/2 it is the mid-P interval
(Lancaster 1961), whose coverage falls to 0.92 where the truth lies just above the bound of no hits.
With 2/3 it is at least 0.935 for every rate at n of 20 and more, and narrower than the former."""


def rate(hits: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """A proportion of independent items, by the binomial's tails; see `SEEN`.

    Raises:
        ValueError: If `hits` is not in 0..n.
    """
    import numpy as np

    if not 0 <= hits <= n:
        raise ValueError(f"{hits} hits of {n} items")
    if n == 0:
        return NOTHING
    low, high = binomial_interval(np.array([float(hits)]), np.array([float(n)]), confidence)
    return Estimate(hits / n, float(low[0]), float(high[0]), n)


def clustered_rate(
    outcomes: Sequence[float], clusters: Clusters, confidence: float = CONFIDENCE
) -> Estimate:
    """A proportion of items that share pictures, texts or other things.

    The binomial's interval at the effective size of the sample in place of n, as Korn and Graubard
    (1998) have it for clustered surveys; see `clusters.effective_size`. Where no two items share
    anything this is `rate`.

    Args:
        outcomes: 1 or 0 of each item, `[n]`.
        clusters: What each item shares, `[n]`.
        confidence: Coverage of the interval.

    Raises:
        ValueError: If the lengths differ.
    """
    import numpy as np

    from spavl.statistics.clusters import design_of, effective_size

    if not outcomes:
        return NOTHING
    values = np.asarray([outcomes], dtype=float)
    size = effective_size(values, design_of(clusters, len(outcomes)), confidence)
    value = float(values.mean())
    low, high = binomial_interval(value * size, size, confidence)
    return Estimate(value, min(value, float(low[0])), max(value, float(high[0])), len(outcomes))


def worth(found: Estimate, confidence: float = CONFIDENCE) -> float:
    """How many independent items of yes and no would give a figure an interval as wide.

    For what takes counts and not items, such as a correction for the judge's errors.
    """
    import numpy as np
    from scipy.optimize import brentq

    if found.value is None or found.low is None or found.high is None:
        return 0.0
    width = found.high - found.low

    def wider(log_size: float) -> float:
        size = np.array([np.exp(log_size)])
        low, high = binomial_interval(found.value * size, size, confidence)
        return float(high[0] - low[0]) - width

    if width <= 0 or wider(np.log(found.n)) >= 0:
        return float(found.n)
    return float(np.exp(brentq(wider, np.log(0.1), np.log(found.n), xtol=1e-6)))


def binomial_interval(
    hits: "NDArray[np.float64]", n: "NDArray[np.float64]", confidence: float
) -> tuple["NDArray[np.float64]", "NDArray[np.float64]"]:
    """Bounds of proportions, of any number of samples at once; counts need not be whole.

    The lower bound is the rate p at which P(X > hits) + SEEN * P(X = hits) is half of what the
    confidence leaves; binomial tails are incomplete beta functions, which know fractions too.
    """
    tail = (1 - confidence) / 2
    return _lower(hits, n, tail), 1 - _lower(n - hits, n, tail)


def _lower(
    hits: "NDArray[np.float64]", n: "NDArray[np.float64]", tail: float
) -> "NDArray[np.float64]":
    import numpy as np

    low, high = np.zeros_like(hits), np.ones_like(hits)
    for _ in range(50):
        middle = (low + high) / 2
        mass = SEEN * _at_least(hits, n, middle) + (1 - SEEN) * _at_least(hits + 1, n, middle)
        low, high = np.where(mass < tail, middle, low), np.where(mass < tail, high, middle)
    bound: NDArray[np.float64] = np.where(hits <= 0, 0.0, (low + high) / 2)
    return bound


def _at_least(
    hits: "NDArray[np.float64]", n: "NDArray[np.float64]", p: "NDArray[np.float64]"
) -> "NDArray[np.float64]":
    """P(X >= hits) of a binomial."""
    import numpy as np
    from scipy.special import betainc

    inner = betainc(np.maximum(hits, 1e-12), np.maximum(n - hits + 1, 1e-12), p)
    found: NDArray[np.float64] = np.where(hits <= 0, 1.0, np.where(hits >= n + 1, 0.0, inner))
    return found
