"""Figures with confidence intervals, and paired tests: what every reported number goes through."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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

    A bootstrap of equal scores has no width, which would claim certainty. Items that were not seen
    may score otherwise at up to the rate that Wilson's interval allows for no hits in n, and be 0
    or 1 then; where all are 0 or all are 1 this is Wilson's interval itself.

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
        unseen = rate(0, n, confidence).high or 0.0
        return Estimate(value, value - value * unseen, value + (1 - value) * unseen, n)
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


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    seed: int,
    confidence: float = CONFIDENCE,
    resamples: int = 2000,
) -> Estimate:
    """The mean of second - first on the same items, with a percentile bootstrap over items.

    Where all differences are equal a bootstrap has no width. Items that do not differ at all may
    still do so at up to the rate that Wilson's interval allows for no hits in n, either way; where
    every item differs fully, Wilson's interval for n hits is given.

    Args:
        first: Scores in [0, 1] under the first model, `[n]`.
        second: Scores of the same items under the second, `[n]`.
        seed: Seed of the resampling.
        confidence: Coverage of the interval.
        resamples: Bootstrap resamples.

    Raises:
        ValueError: If the lengths differ.
    """
    differences = [b - a for a, b in zip(first, second, strict=True)]
    n = len(differences)
    if n == 0 or min(differences) < max(differences):
        return mean(differences, seed, confidence, resamples)
    value = differences[0]
    unseen = rate(0, n, confidence).high or 0.0
    return Estimate(value, max(-1.0, value - unseen), min(1.0, value + unseen), n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979): the k-th smallest of m is multiplied by m - k + 1.

    Args:
        p_values: P-values of the tests of one family, `[m]`.

    Returns:
        Adjusted p-values in the same order, at most 1 and never below that of a smaller one.
    """
    adjusted, worst, m = [0.0] * len(p_values), 0.0, len(p_values)
    for rank, place in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        worst = max(worst, min(1.0, (m - rank) * p_values[place]))
        adjusted[place] = worst
    return adjusted


@dataclass(frozen=True)
class Agreement:
    """How far two judges agree on the same items: the share, and Cohen's kappa above chance.

    Kappa has no value where both judges give one and the same label to all items.
    """

    raw: Estimate
    kappa: Estimate


def agreement(
    labels: Sequence[tuple[str, str]],
    seed: int,
    confidence: float = CONFIDENCE,
    resamples: int = 2000,
) -> Agreement:
    """Agreement of two judges (Cohen 1960), kappa with a percentile bootstrap over items.

    Args:
        labels: Both judges' label of each item, `[n]`.
        seed: Seed of the resampling.
        confidence: Coverage of the intervals.
        resamples: Bootstrap resamples.
    """
    import numpy as np

    n, names = len(labels), sorted({label for pair in labels for label in pair})
    raw = rate(sum(a == b for a, b in labels), n, confidence)
    if len(names) < 2:
        return Agreement(raw, Estimate(None, None, None, n))
    table = np.zeros((len(names), len(names)))
    for a, b in labels:
        table[names.index(a), names.index(b)] += 1
    value, chance = (float(found[0]) for found in _kappa(table[None]))
    if value == 1 and raw.low is not None:  # a bootstrap of agreement alone has no width
        return Agreement(raw, Estimate(1.0, (raw.low - chance) / (1 - chance), 1.0, n))
    draws = np.random.default_rng(seed).multinomial(n, table.ravel() / n, size=resamples)
    tail = (1 - confidence) / 2
    drawn, _ = _kappa(draws.reshape(-1, *table.shape).astype(np.float64))
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return Agreement(raw, Estimate(value, min(value, float(low)), max(value, float(high)), n))


def _kappa(
    tables: "NDArray[np.float64]",
) -> tuple["NDArray[np.float64]", "NDArray[np.float64]"]:
    """Cohen's kappa and agreement by chance, of tables of counts `[tables, labels, labels]`.

    Kappa is NaN where chance is certain.
    """
    import numpy as np

    shares = tables / tables.sum(axis=(1, 2), keepdims=True)
    seen = np.trace(shares, axis1=1, axis2=2)
    chance = (shares.sum(axis=1) * shares.sum(axis=2)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa: NDArray[np.float64] = np.where(chance < 1, (seen - chance) / (1 - chance), np.nan)
    return kappa, chance
