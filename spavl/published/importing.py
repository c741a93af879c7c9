"""Published rows become an image store, preferences and test items."""

import io
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from spavl.errors import InputError
from spavl.judges import RuleModerator
from spavl.judges import Shown as ShownToJudge
from spavl.published.classes import Shown, read_classes
from spavl.published.files import files_of, local_folder, read_rows
from spavl.published.rows import COLUMNS, Row, Split, clean_classes
from spavl.records import EvalItem, Image, Maker, Preference, SetAside, record_id
from spavl.shards import DatasetWriter
from spavl.taxonomy import load_taxonomy

IMAGES_PER_SHARD = 512
PUBLISHED = "published"
FOLDERS: dict[Split, str] = {
    "train": "train",
    "validation": "validation",
    "held_out": "test",
    "harm": "test/items",
    "help": "test/items",
}
"""Our data set that a split's rows go to."""
RECORDS: dict[str, type] = {
    "train": Preference,
    "validation": Preference,
    "test": Preference,
    "test/items": EvalItem,
    "images/set_asides": SetAside,
}


@dataclass
class Imported:
    """What came in.

    Attributes:
        rows: Rows by split.
        pictures: Pictures by truth.
        unknown_classes: Rows by class that the taxonomy does not know; they were kept.
        set_aside: Rows by the reason why their picture cannot be used.
    """

    rows: Counter[str] = field(default_factory=Counter)
    pictures: Counter[str] = field(default_factory=Counter)
    unknown_classes: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)


def import_(place: str, out: Path, unusable: Callable[[bytes], str | None]) -> Imported:
    """Brings a published data set in.

    Args:
        place: Its folder, or `hub:owner/name`.
        out: Folder of the data sets to be made; see `spavl.published`.
        unusable: Why a picture cannot be used; None if it can.

    Raises:
        InputError: There is no row at all, or a file is broken.
    """
    folder = local_folder(place)
    imported = Imported()
    with ExitStack() as stack:
        images = stack.enter_context(
            DatasetWriter(out / "images", Image, {"source": place}, {}, IMAGES_PER_SHARD)
        )
        writers = {
            name: stack.enter_context(DatasetWriter(out / name, record, {"source": place}))
            for name, record in RECORDS.items()
        }
        store = _Store(images, unusable, imported, read_classes(folder))
        moderator = RuleModerator()
        for split in COLUMNS:  # those with classes first: training rows are joined to them
            for number, row in enumerate(_rows(folder, split)):
                known = store.add(row)
                if isinstance(known, str):
                    aside = SetAside(row.image_name, "import", known, f"{split}, row {number}")
                    writers["images/set_asides"].add(aside)
                    imported.set_aside[known] += 1
                    continue
                make = _item if "chosen" not in COLUMNS[split] else _preference
                writers[FOLDERS[split]].add(make(row, split, number, known, moderator))
                imported.rows[split] += 1
        if not imported.rows:
            raise InputError(
                "no rows in the published layout",
                place,
                f"name files by split: {', '.join(COLUMNS)}",
            )
    return imported


def _rows(folder: Path, split: Split) -> Iterator[Row]:
    for path in files_of(folder, split):
        yield from read_rows(path, split)


@dataclass(frozen=True)
class _Known:
    """What is known of a row's picture."""

    image_id: str
    truth: str
    class3: str | None


class _Store:
    """Pictures by content, each stored once."""

    def __init__(
        self,
        writer: DatasetWriter,
        unusable: Callable[[bytes], str | None],
        imported: Imported,
        listed: dict[str, Shown],
    ) -> None:
        self._writer = writer
        self._unusable = unusable
        self._imported = imported
        self._listed = listed
        self._taxonomy = load_taxonomy()
        self._known: dict[bytes, _Known | str] = {}

    def add(self, row: Row) -> _Known | str:
        """What is known of the row's picture, or why it cannot be used."""
        digest = sha256(row.content).digest()
        if row.class3 and self._taxonomy.find(row.class3) is None:
            self._imported.unknown_classes[row.class3] += 1
        if digest not in self._known:
            reason = self._unusable(row.content)
            self._known[digest] = reason or self._stored(row, digest.hex())
        return self._known[digest]

    def _stored(self, row: Row, image_id: str) -> _Known:
        import PIL.Image

        with PIL.Image.open(io.BytesIO(row.content)) as picture:
            size, media_type = picture.size, PIL.Image.MIME.get(picture.format or "", "image/*")
        told = Shown("harmful" if row.class3 else "unknown", (row.class1, row.class2, row.class3))
        truth, published = told if row.class3 else self._listed.get(row.image_name, told)
        classes = clean_classes(published, self._taxonomy)
        self._writer.add(
            Image(image_id, row.content, media_type, *size, row.image_name, truth, *classes, None)
        )
        self._imported.pictures[truth] += 1
        return _Known(image_id, truth, classes[2])


def _preference(
    row: Row, split: str, number: int, known: _Known, moderator: RuleModerator
) -> Preference:
    question_id = record_id("question", known.image_id, row.question)
    sides: dict[str, Any] = {}
    for side, text in (("chosen", row.chosen or ""), ("rejected", row.rejected or "")):
        shown = ShownToJudge(known.truth, known.class3)
        sides |= {
            side: text,
            f"{side}_response_id": record_id("response", question_id, text),
            f"{side}_responder": PUBLISHED,
            f"{side}_safe": moderator.moderate(row.question, text, shown).safe,
        }
    return Preference(
        preference_id=record_id("preference", PUBLISHED, split, str(number), question_id),
        question_id=question_id,
        question=row.question,
        kind="unknown",
        thing=None,
        reason1="",
        reason2="",
        maker=Maker(PUBLISHED),
        **vars(known),
        **sides,
    )


def _item(row: Row, split: str, number: int, known: _Known, _: RuleModerator) -> EvalItem:
    return EvalItem(
        item_id=record_id("item", PUBLISHED, split, str(number), known.image_id),
        benchmark=f"{split}_eval",
        question=row.question,
        kind=None,
        thing=None,
        expected=None,
        source=PUBLISHED,
        **vars(known),
    )
