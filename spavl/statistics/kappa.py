"""How far two judges agree on the same answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spavl.statistics.estimates import CONFIDENCE, Clusters, Estimate
from spavl.statistics.rates import clustered_rate, rate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNSEEN = 1
"""Items, spread over all pairs of labels, that are added when kappa's variance is estimated: labels
that were hardly seen say little of how the judges use them."""


@dataclass(frozen=True)
class Agreement:
    """How far two judges agree on the same items: the share, and Cohen's kappa above chance.

    Kappa has no value where both judges give one and the same label to all items.
    """

    raw: Estimate
    kappa: Estimate


def agreement(
    labels: Sequence[tuple[str, str]],
    clusters: Clusters | None = None,
    confidence: float = CONFIDENCE,
) -> Agreement:
    """Agreement of two judges (Cohen 1960), with an interval that is never of no width.

    Kappa is 1 - q / Q of the observed disagreement q and the one by chance, Q. Its interval is that
    of a rate q, over Q, at the number of items at which a rate has the variance that the delta
    method gives kappa (Fleiss, Cohen and Everitt 1969). Where the judges agree on all items this is
    the interval of no hits; where disagreements are few it is as skewed as theirs.

    Args:
        labels: Both judges' label of each item, `[n]`.
        clusters: What each item shares with others, `[n]`; None where items are independent.
        confidence: Coverage of the intervals.
    """
    import numpy as np

    n, names = len(labels), sorted({label for pair in labels for label in pair})
    same = [a == b for a, b in labels]
    raw = (
        rate(sum(same), n, confidence)
        if clusters is None
        else clustered_rate([float(each) for each in same], clusters, confidence)
    )
    if len(names) < 2:
        return Agreement(raw, Estimate(None, None, None, n))
    places = np.array([[names.index(a), names.index(b)] for a, b in labels])
    table = np.zeros((1, len(names), len(names)))
    np.add.at(table[0], (places[:, 0], places[:, 1]), 1)
    size = np.array([float(n)])
    if clusters is not None:
        from spavl.statistics.clusters import design_of, effective_size

        values = contributions(table)[0][places[:, 0], places[:, 1]][None]
        size = effective_size(values, design_of(clusters, n), confidence)
    value, low, high = (float(each[0]) for each in kappa_interval(table, size, confidence))
    return Agreement(raw, Estimate(value, low, high, n))


def kappa_interval(
    tables: "NDArray[np.float64]", size: "NDArray[np.float64]", confidence: float
) -> tuple["NDArray[np.float64]", "NDArray[np.float64]", "NDArray[np.float64]"]:
    """Kappa and its bounds, of any number of tables at once; NaN where chance is certain.

    Kappa's variance is estimated, which few items tell little of: the size is lowered by the square
    of the normal quantile over Student's.

    Args:
        tables: Counts by label of the one and of the other judge, `[draws, labels, labels]`.
        size: How many independent items each table is worth, `[draws]`.
        confidence: Coverage of the interval.
    """
    import numpy as np
    from scipy.stats import norm, t

    from spavl.statistics.rates import binomial_interval

    shares = tables / tables.sum(axis=(1, 2), keepdims=True)
    differ, by_chance = _disagreement(shares)
    counts = shares * size[:, None, None]
    smooth = _smoothed(counts)
    q, chance = _disagreement(smooth)
    variance = (smooth * influence(counts) ** 2).sum(axis=(1, 2))
    upper = (1 + confidence) / 2
    few = (norm.ppf(upper) / t.ppf(upper, np.maximum(size - 1, 1))) ** 2
    worth = few * size * q * (1 - q) / (chance**2 * variance)
    few, many = binomial_interval(differ * worth, worth, confidence)
    with np.errstate(invalid="ignore", divide="ignore"):
        value, low, high = (
            np.where(by_chance > 0, 1 - each / by_chance, np.nan) for each in (differ, many, few)
        )
    return value, np.maximum(-1.0, np.minimum(low, value)), np.maximum(high, value)


def contributions(tables: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """`influence` with a range of one, like scores, for the effective size of a sample."""
    found = influence(tables)
    scale: NDArray[np.float64] = found.max(axis=(1, 2)) - found.min(axis=(1, 2))
    return found / scale[:, None, None]


def influence(tables: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """What an item of each pair of labels adds to kappa, to first order, `[draws, K, K]`."""
    import numpy as np

    shares = _smoothed(tables)
    q, chance = (each[:, None, None] for each in _disagreement(shares))
    apart = 1 - np.eye(tables.shape[-1])
    by_margins = shares.sum(axis=1)[:, :, None] + shares.sum(axis=2)[:, None, :]
    found: NDArray[np.float64] = (q - apart) / chance - q / chance**2 * (
        by_margins - 2 * (1 - chance)
    )
    return found


def _smoothed(tables: "NDArray[np.float64]") -> "NDArray[np.float64]":
    counts = tables + UNSEEN / tables.shape[-1] ** 2
    found: NDArray[np.float64] = counts / counts.sum(axis=(1, 2), keepdims=True)
    return found


def _disagreement(
    shares: "NDArray[np.float64]",
) -> tuple["NDArray[np.float64]", "NDArray[np.float64]"]:
    """Disagreement that is seen, and that judges with these margins have by chance."""
    import numpy as np

    seen = 1 - np.trace(shares, axis1=1, axis2=2)
    by_chance = 1 - (shares.sum(axis=1) * shares.sum(axis=2)).sum(axis=1)
    return np.where(seen > 1e-12, seen, 0.0), np.where(by_chance > 1e-12, by_chance, 0.0)
