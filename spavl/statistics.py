"""Figures with confidence intervals, and paired tests: what every reported number goes through."""

from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval.

    Attributes:
        value: The estimate; None where there are no observations.
        low: Lower bound; None like `value`.
        high: Upper bound; None like `value`.
        n: Observations.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


def rate(hits: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """A proportion with Wilson's score interval (Wilson 1927, without continuity correction).

    Raises:
        ValueError: If `hits` is not in 0..n.
    """
    from scipy.stats import binomtest

    if n == 0 and hits == 0:
        return Estimate(None, None, None, 0)
    bounds = binomtest(hits, n).proportion_ci(confidence, method="wilson")
    return Estimate(hits / n, float(bounds.low), float(bounds.high), n)


def mean(
    scores: Sequence[float], seed: int, confidence: float = CONFIDENCE, resamples: int = 2000
) -> Estimate:
    """The mean of scores in [0, 1] with a percentile bootstrap interval over items.

    A bootstrap of equal scores has no width, which would claim certainty: where all are 0 or all
    are 1 the Wilson interval is given instead. Where all are equal and between, as when a model is
    compared with itself and every item is a tie, the value is exact and the interval has no width.

    Args:
        scores: One score per item, `[n]`.
        seed: Seed of the resampling.
        confidence: Coverage of the interval.
        resamples: Bootstrap resamples.
    """
    import numpy as np
    from scipy.stats import bootstrap

    n = len(scores)
    if n == 0:
        return Estimate(None, None, None, 0)
    value = float(np.mean(scores))
    if min(scores) == max(scores):
        return rate(int(value) * n, n, confidence) if value in (0, 1) else _exact(value, n)
    found = bootstrap(
        (np.asarray(scores, dtype=float),),
        np.mean,
        n_resamples=resamples,
        batch=100,  # bounds memory: 100 x n floats at a time
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    bounds = found.confidence_interval
    return Estimate(value, float(bounds.low), float(bounds.high), n)


@dataclass(frozen=True)
class PairedTest:
    """McNemar's test of one yes/no outcome on the same items under two models.

    Attributes:
        only_first: Items where only the first model has the outcome.
        only_second: Items where only the second has it.
        n: Items that both were asked.
        p_value: Exact two-sided p; 1 where no item differs.
    """

    only_first: int
    only_second: int
    n: int
    p_value: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> PairedTest:
    """McNemar's exact test: discordant items are coin flips if the models are alike.

    Args:
        first: The first model's outcomes, `[n]`.
        second: The second model's outcomes on the same items in the same order, `[n]`.

    Raises:
        ValueError: If the lengths differ.
    """
    from scipy.stats import binomtest

    pairs = list(zip(first, second, strict=True))
    only_first = sum(a and not b for a, b in pairs)
    only_second = sum(b and not a for a, b in pairs)
    differ = only_first + only_second
    p_value = float(binomtest(only_first, differ, 0.5).pvalue) if differ else 1.0
    return PairedTest(only_first, only_second, len(pairs), p_value)


def _exact(value: float, n: int) -> Estimate:
    return Estimate(value, value, value, n)
