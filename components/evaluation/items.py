"""What benchmarks are made of: items with their picture, and what is missing."""

from dataclasses import dataclass

from spavl.records import EvalItem, Image


@dataclass(frozen=True)
class Asked:
    """A picture and the items about it; no picture where text alone is asked."""

    picture: Image | None
    items: tuple[EvalItem, ...]


@dataclass(frozen=True)
class Missing:
    """Items that a benchmark should have and has not.

    Attributes:
        benchmark: As items name it.
        kind: The column; None for the whole benchmark.
        what: What is missing, for people.
        n: How many items; 0 where nobody can say.
    """

    benchmark: str
    kind: str | None
    what: str
    n: int = 0
