"""Image store, preferences and test items become rows of a layout, and a card tells of them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spavl.images import ImageFacts, ImageStore
from spavl.published.card import Card, write_card
from spavl.published.classes import Shown, write_classes
from spavl.published.croissant import write_croissant
from spavl.published.files import ITEMS
from spavl.published.layouts import LLAMA_FACTORY, SPA_VL, Layout
from spavl.published.layouts.llama_factory import DESCRIPTION
from spavl.published.row_files import Form, write_rows
from spavl.published.rows import CLASSES, COLUMNS, Row, Split, published_classes
from spavl.records import EvalItem, Preference
from spavl.shards import MANIFEST, read_records, write_json
from spavl.taxonomy import load_taxonomy

SIDES = ("chosen", "rejected", "chosen_responder", "rejected_responder")
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


@dataclass(frozen=True)
class Manner:
    """How rows are written.

    Attributes:
        form: `json`, `jsonl` or `parquet`.
        licence: What the card says of it.
        layout: Layout of the preferences.
    """

    form: Form
    licence: str
    layout: Layout = SPA_VL


def export(source: Source, out: Path, manner: Manner) -> dict[str, int]:
    """Writes our data sets in a layout.

    Test items without answers stay in the published layout, whatever that of the preferences; a
    layout of questions alone takes the items and no preferences.

    Args:
        source: Our data sets.
        out: A new folder.
        manner: How.

    Returns:
        Rows by split.

    Raises:
        InputError: A data set is missing.
    """
    store = ImageStore(str(source.images))
    pictures = _Pictures(store)
    card = Card(manner.licence)
    rows: dict[str, int] = {}
    if manner.layout.pairs:
        for split in COLUMNS:
            layout = manner.layout if "chosen" in COLUMNS[split] else SPA_VL
            made = _rows(source, split, pictures, card)
            rows[split] = write_rows(out, split, made, manner.form, layout)
    else:
        items = (row for split in ITEMS for row in _rows(source, split, pictures, card))
        rows["test"] = write_rows(out, "test", items, manner.form, manner.layout)
    if manner.layout is LLAMA_FACTORY and manner.form != "parquet":
        write_json(out / "dataset_info.json", _described(rows, manner.form))
    write_classes(out, pictures.shown())
    write_card(out / "README.md", card, store, rows, manner.form)
    write_croissant(out, card, (*vars(source).values(), source.test / "items"))
    return {split: count for split, count in rows.items() if count}


def _described(rows: Mapping[str, int], form: Form) -> dict[str, Any]:
    """What LLaMA-Factory wants to be told of files of preferences."""
    return {
        f"spa_vl_{split}": {"file_name": f"{split}.{form}", **DESCRIPTION}
        for split, count in rows.items()
        if count and split not in ITEMS
    }


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

    def row(self, record: Preference | EvalItem, split: Split) -> Row:
        """A preference, or an item about a picture, as a row."""
        assert record.image_id is not None
        name, shown = self._facts[record.image_id]
        told: dict[str, Any] = dict(zip(CLASSES, shown.classes, strict=True))
        if isinstance(record, Preference):
            told |= {side: getattr(record, side) for side in (*SIDES, "kind")}
        content = self._store.content(record.image_id)
        return Row(content, name, record.question, split=split, **told)


def _name(facts: ImageFacts) -> str:
    """The name that the picture came with, if that is a picture file's, or one made of its id."""
    ending = ENDINGS.get(facts.media_type, ".img")
    return facts.source if PLAIN.fullmatch(facts.source) else f"{facts.image_id}{ending}"


def _rows(source: Source, split: Split, pictures: _Pictures, card: Card) -> Iterator[Row]:
    if "chosen" in COLUMNS[split]:
        folder = {"train": source.train, "validation": source.validation}.get(split, source.test)
        for each in read_records(folder, Preference):
            card.add(split, each)
            yield pictures.row(each, split)
        return
    items = source.test / "items"
    if (items / MANIFEST).exists():
        for item in read_records(items, EvalItem):
            if item.benchmark == f"{split}_eval" and item.image_id:
                yield pictures.row(item, split)
