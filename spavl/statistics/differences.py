"""The same items under two models, and answers that win, tie or lose: score intervals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spavl.statistics.estimates import CONFIDENCE, NOTHING, Clusters, Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNSEEN = 4
"""Full differences that are added where scores lie between, when their step is estimated: items
that were not seen may differ by more than those that were."""


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Clusters | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """The mean of second - first on the same items, with Tango's score interval.

    Differences of yes and no are +1, 0 and -1. Scores between are taken for a trinomial of a
    smaller step that has the same mean and about the same variance. Clusters lower the number of
    items to the effective one; see `clusters.effective_size`.

    Args:
        first: Scores in [0, 1] under the first model, `[n]`.
        second: Scores of the same items under the second, `[n]`.
        clusters: What each item shares with others, `[n]`; None where items are independent.
        confidence: Coverage of the interval.

    Raises:
        ValueError: If the lengths differ.
    """
    changes = [b - a for a, b in zip(first, second, strict=True)]
    up, down = sum(c for c in changes if c > 0), -sum(c for c in changes if c < 0)
    squares = sum(c * c for c in changes)
    whole = all(change in (-1, 0, 1) for change in changes)
    step = 1.0 if whole else (squares + UNSEEN) / (up + down + UNSEEN)
    return _trinomial(changes, (up / step, down / step), step, clusters, confidence)


def win_rate(
    scores: Sequence[float], clusters: Clusters | None = None, confidence: float = CONFIDENCE
) -> Estimate:
    """The mean of 1 for a win, 1/2 for a tie and 0 for a loss: half of 1 + P(win) - P(loss).

    The difference of wins and losses has the distribution of a paired difference, and Tango's
    interval with it. Other scores between 0 and 1 go through `means.mean`.

    Args:
        scores: One score per item, `[n]`.
        clusters: What each item shares with others, `[n]`; None where items are independent.
        confidence: Coverage of the interval.
    """
    if any(score not in (0, 0.5, 1) for score in scores):
        from spavl.statistics.means import mean

        return mean(scores, clusters, confidence)
    wins, losses = sum(score == 1 for score in scores), sum(score == 0 for score in scores)
    found = _trinomial([2 * s - 1 for s in scores], (wins, losses), 1.0, clusters, confidence)
    if found.value is None or found.low is None or found.high is None:
        return found
    return Estimate((1 + found.value) / 2, (1 + found.low) / 2, (1 + found.high) / 2, found.n)


def _trinomial(
    changes: Sequence[float],
    steps: tuple[float, float],
    step: float,
    clusters: Clusters | None,
    confidence: float,
) -> Estimate:
    """The mean of changes that are so many steps up and down, at the sample's effective size."""
    import numpy as np

    from spavl.statistics.clusters import design_of, effective_size

    n = len(changes)
    if not n:
        return NOTHING
    values = np.asarray([changes], dtype=float)
    size = np.array([float(n)])
    if clusters is not None:
        size = effective_size(values, design_of(clusters, n), confidence)
    up, down = (size * count / n for count in steps)
    low, high = (step * float(bound[0]) for bound in tango_interval(up, down, size, confidence))
    value = float(values.mean())
    return Estimate(value, max(-1.0, min(value, low)), min(1.0, max(value, high)), n)


def tango_interval(
    up: "NDArray[np.float64]",
    down: "NDArray[np.float64]",
    n: "NDArray[np.float64]",
    confidence: float,
) -> tuple["NDArray[np.float64]", "NDArray[np.float64]"]:
    """Tango's score interval (1998) of P(up) - P(down), of any number of samples at once.

    The bounds are where (up - down - n d) / sqrt(n (2 q + d (1 - d))) is plus and minus the normal
    quantile; q, the probability of down at the difference d, is the larger root of
    2 n q² + ((2 n - up + down) d - up - down) q - down d (1 - d). Counts need not be whole.

    Args:
        up: Items that only the second model has, `[draws]`.
        down: Items that only the first has, `[draws]`.
        n: Items, `[draws]`.
        confidence: Coverage of the interval.
    """
    low, high = _tango_upper(down, up, n, confidence), _tango_upper(up, down, n, confidence)
    return -low, high


def _tango_upper(
    up: "NDArray[np.float64]",
    down: "NDArray[np.float64]",
    n: "NDArray[np.float64]",
    confidence: float,
) -> "NDArray[np.float64]":
    import numpy as np
    from scipy.stats import norm

    quantile, seen = norm.ppf((1 + confidence) / 2), (up - down) / n
    low, high = seen, np.ones_like(seen)
    for _ in range(50):
        d = (low + high) / 2
        linear = (2 * n - up + down) * d - up - down
        root = np.sqrt(np.maximum(linear**2 + 8 * n * down * d * (1 - d), 0))
        variance = np.maximum(n * ((root - linear) / (2 * n) + d * (1 - d)), 0)
        inside = n * d - up + down < quantile * np.sqrt(variance)
        low, high = np.where(inside, d, low), np.where(inside, high, d)
    bound: NDArray[np.float64] = np.where(seen >= 1, 1.0, (low + high) / 2)
    return bound
