"""Paired tests of yes and no, and their correction for many."""

from collections.abc import Sequence
from dataclasses import dataclass


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
