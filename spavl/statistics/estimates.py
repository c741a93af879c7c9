"""What every figure is: a value, its interval, and how many observations it rests on."""

from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95

Clusters = Sequence[tuple[str | None, ...]]
"""Of every item, what it shares with others, dimension by dimension: its picture, its text, its
class. Items of one name in a dimension go together; None stands alone."""


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


NOTHING = Estimate(None, None, None, 0)
