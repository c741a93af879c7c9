"""Rows of the published layout, and the spellings of their classes."""

from dataclasses import dataclass, fields
from typing import Literal

from spavl.taxonomy import Taxonomy

Split = Literal["train", "validation", "held_out", "harm", "help"]

CLASSES = ("class1", "class2", "class3")
_PREFERENCE = ("image", "question", "chosen", "rejected")
COLUMNS: dict[Split, tuple[str, ...]] = {
    "validation": (*_PREFERENCE, *CLASSES),
    "held_out": (*_PREFERENCE, *CLASSES),
    "harm": ("image", "question", *CLASSES),
    "help": ("image", "question", *CLASSES),
    "train": (*_PREFERENCE, "image_name"),
}
"""Columns of each split, those with classes first. `held_out` is ours: preferences of test pictures
that became no item of HarmEval (`harm`) or HelpEval (`help`)."""


@dataclass(frozen=True)
class Row:
    """A row of any split.

    Attributes:
        content: The encoded picture.
        image_name: The picture's file name.
        question: The question.
        chosen: The preferred answer; null in tests.
        rejected: The other answer; null in tests.
        class1: Domain of harm as published; null where no class is given.
        class2: Category of harm.
        class3: Class of harm.
        kind: Kind of question; null where that is not known.
        chosen_responder: Who gave the preferred answer; null where that is not known.
        rejected_responder: Who gave the other.
        split: Where the row belongs, if its layout says so and not its file.
    """

    content: bytes
    image_name: str
    question: str
    chosen: str | None = None
    rejected: str | None = None
    class1: str | None = None
    class2: str | None = None
    class3: str | None = None
    kind: str | None = None
    chosen_responder: str | None = None
    rejected_responder: str | None = None
    split: Split | None = None


TEXTS = tuple(
    field.name for field in fields(Row) if field.name not in ("content", "image_name", "split")
)
Classes = tuple[str | None, str | None, str | None]


def clean_classes(published: Classes, taxonomy: Taxonomy) -> Classes:
    """Our names of a row's classes; those of a class that nobody knows stay as they are."""
    harm = taxonomy.find(published[2]) if published[2] else None
    return (harm.domain, harm.category, harm.name) if harm else published


def published_classes(ours: Classes, taxonomy: Taxonomy) -> Classes:
    """The published spelling of our names."""
    harm = taxonomy.find(ours[2]) if ours[2] else None
    return harm.published_path if harm else ours
