"""What benchmarks are made of: items with their picture, and what is missing."""

from dataclasses import dataclass

from spavl.records import EvalItem, Image


@dataclass(frozen=True)
class Asked:
    """A picture and the items about it.

    Attributes:
        picture: The picture; None where text alone is asked.
        items: What is asked.
        drawn: Whether the benchmark's folder has no such picture and it was drawn here.
    """

    picture: Image | None
    items: tuple[EvalItem, ...]
    drawn: bool = False


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


@dataclass(frozen=True)
class PictureCount:
    """Where the pictures of a published column come from.

    Attributes:
        benchmark: As items name it.
        kind: The column; None where the benchmark has only one.
        read: Items whose picture was read from the benchmark's folder.
        drawn: Items whose picture was drawn here, since the folder has none.
    """

    benchmark: str
    kind: str | None
    read: int
    drawn: int


def clusters_of(item: EvalItem) -> tuple[str | None, str]:
    """What an item shares with others, for the intervals of figures: its picture, and its text.

    Columns of one published question are one text. Items that ask for a thing's name ask all the
    same; what they are drawn from is the things, so the thing stands for the text there.
    """
    return item.image_id, item.expected or item.group or item.question
