"""Image store, preferences and test items become published rows, and a card that tells of them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spavl.images import ImageFacts, ImageStore
from spavl.published.card import Card, write_card
from spavl.published.classes import Shown, write_classes
from spavl.published.files import Form, write_rows
from spavl.published.rows import CLASSES, COLUMNS, Row, Split, published_classes
from spavl.records import EvalItem, Preference
from spavl.shards import MANIFEST, read_records
from spavl.taxonomy import load_taxonomy

ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/gif": ".gif"}

PLAIN = re.compile(r"\w[\w .=+-]{0,150}\.\w{1,5}")
"""A picture's file name that leads nowhere else on any file system."""


@dataclass(frozen=True)
class Source:
    """Where our data sets lie.

    Attributes:
        images: The image store.
        train: Preferences to train on.
        validation: Preferences to watch.
        test: Preferences held out; its sub-folder `items` holds the test items.
    """

    images: Path
    train: Path
    validation: Path
    test: Path

    @classmethod
    def below(cls, folder: Path) -> "Source":
        """The data sets of an imported folder."""
        return cls(*(folder / name for name in ("images", "train", "validation", "test")))


def export(source: Source, out: Path, form: Form, licence: str) -> dict[str, int]:
    """Writes our data sets in the published layout.

    Args:
        source: Our data sets.
        out: A new folder.
        form: `json` or `parquet`.
        licence: What the card says of it.

    Returns:
        Rows by split.

    Raises:
        InputError: A data set is missing.
    """
    store = ImageStore(str(source.images))
    pictures = _Pictures(store)
    card = Card(licence)
    rows: dict[str, int] = {
        split: write_rows(out, split, _rows(source, split, pictures, card), form)
        for split in COLUMNS
    }
    write_classes(out, pictures.shown())
    write_card(out / "README.md", card, store, rows, form)
    return {split: count for split, count in rows.items() if count}


class _Pictures:
    """File names of pictures, each of one picture alone, and their published classes."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._taxonomy = load_taxonomy()
        self._facts: dict[str, tuple[str, Shown]] = {}
        taken: set[str] = set()
        for facts in store.facts():
            name = _name(facts)
            name = f"{facts.image_id[:16]}-{name}" if name in taken else name
            taken.add(name)
            classes = (facts.class1, facts.class2, facts.class3)
            published = published_classes(classes, self._taxonomy)
            self._facts[facts.image_id] = name, Shown(facts.truth, published)

    def shown(self) -> Iterable[tuple[str, Shown]]:
        """File names and what the pictures show."""
        return self._facts.values()

    def row(self, image_id: str, **texts: str) -> Row:
        """A row about the picture."""
        content = self._store.content(image_id)
        name, shown = self._facts[image_id]
        classes = dict(zip(CLASSES, shown.classes, strict=True))
        return Row(content, name, texts.pop("question"), **texts, **classes)


def _name(facts: ImageFacts) -> str:
    """The name that the picture came with, if that is a picture file's, or one made of its id."""
    ending = ENDINGS.get(facts.media_type, ".img")
    return facts.source if PLAIN.fullmatch(facts.source) else f"{facts.image_id}{ending}"


def _rows(source: Source, split: Split, pictures: _Pictures, card: Card) -> Iterator[Row]:
    if "chosen" in COLUMNS[split]:
        folder = {"train": source.train, "validation": source.validation}.get(split, source.test)
        for each in read_records(folder, Preference):
            card.add(split, each)
            texts = {name: getattr(each, name) for name in ("question", "chosen", "rejected")}
            yield pictures.row(each.image_id, **texts)
        return
    items = source.test / "items"
    if (items / MANIFEST).exists():
        for item in read_records(items, EvalItem):
            if item.benchmark == f"{split}_eval" and item.image_id:
                yield pictures.row(item.image_id, question=item.question)
