"""Means of scores between 0 and 1, where an answer may be half right."""

from collections.abc import Sequence

from spavl.statistics.estimates import CONFIDENCE, NOTHING, Clusters, Estimate

UNSEEN = 2
"""Scores as far apart as scores can be that are added when their variance is estimated: items that
were not seen may differ though all that were seen are equal."""


def mean(
    scores: Sequence[float], clusters: Clusters | None = None, confidence: float = CONFIDENCE
) -> Estimate:
    """The mean of scores in [0, 1]: the interval of a rate whose sample has the same variance.

    Scores between 0 and 1 spread less than yes and no of the same mean; their mean is that of a
    larger sample of yes and no. For scores of 0 and 1 this is `rate` or `clustered_rate`.

    Args:
        scores: One score per item, `[n]`.
        clusters: What each item shares with others, `[n]`; None where items are independent.
        confidence: Coverage of the interval.
    """
    import numpy as np

    from spavl.statistics.clusters import design_of, effective_size
    from spavl.statistics.rates import binomial_interval

    n = len(scores)
    if n == 0:
        return NOTHING
    values = np.asarray([scores], dtype=float)
    value, size = float(values.mean()), np.array([float(n)])
    if clusters is not None:
        size = effective_size(values, design_of(clusters, n), confidence)
    binary, spread = n * value * (1 - value), float(((values - value) ** 2).sum())
    size = size * (binary + UNSEEN) / (spread + UNSEEN)
    low, high = binomial_interval(value * size, size, confidence)
    return Estimate(value, min(value, float(low[0])), max(value, float(high[0])), n)
