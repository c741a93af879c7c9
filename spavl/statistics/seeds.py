"""Figures over several trainings: the interval has their seeds in it as well as the items."""

from collections.abc import Sequence

from spavl.statistics.estimates import CONFIDENCE, NOTHING, Clusters, Estimate


def seeded_mean(
    scores: Sequence[Sequence[float]],
    clusters: Clusters | None = None,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """The mean over seeds and items, both drawn from more of their kind.

    The half width is the root of two squares: that of the items' means, with their clusters, and
    Student's t times the error of the seeds' means. Each part is counted in full, what seeds and
    items do together in both (Cornfield and Tukey 1956), and the few seeds keep their own degrees
    of freedom, where Satterthwaite's would lend them the items': the interval holds the truth with
    two seeds too, and is wide then. It is drawn as a rate's at the size that gives this width. One
    seed says nothing of other seeds: the interval of `means.mean` is given.

    Args:
        scores: Scores in [0, 1], seed by seed, the same items in the same order, `[seeds][n]`.
        clusters: What each item shares with others, `[n]`; None where items are independent.
        confidence: Coverage of the interval.

    Returns:
        The estimate; `n` counts the items.

    Raises:
        ValueError: If seeds have different items.
    """
    import numpy as np
    from scipy.stats import norm, t

    from spavl.statistics.means import mean
    from spavl.statistics.rates import binomial_interval

    if len({len(each) for each in scores}) > 1:
        raise ValueError("seeds have scores of different items")
    if not scores or not scores[0]:
        return NOTHING
    values = np.asarray(scores, dtype=float)
    seeds, n = values.shape
    of_items = mean(values.mean(axis=0).tolist(), clusters, confidence)
    if seeds == 1 or of_items.low is None or of_items.high is None or of_items.value is None:
        return of_items
    value, half = of_items.value, (of_items.high - of_items.low) / 2
    upper = (1 + confidence) / 2
    by_seeds = float(np.var(values.mean(axis=1), ddof=1) / seeds) ** 0.5
    reach = (half**2 + (float(t.ppf(upper, seeds - 1)) * by_seeds) ** 2) ** 0.5
    size = np.array([value * (1 - value) * (float(norm.ppf(upper)) / reach) ** 2])
    if size[0] <= 0:
        return of_items
    low, high = binomial_interval(value * size, size, confidence)
    return Estimate(value, min(of_items.low, float(low[0])), max(of_items.high, float(high[0])), n)
