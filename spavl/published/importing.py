"""Published rows become an image store, preferences and test items."""

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from spavl.errors import InputError
from spavl.images import Picture
from spavl.published.classes import Shown, read_classes
from spavl.published.files import files_of, local_folder, named_layout, read_rows
from spavl.published.meta_files import Meta, read_meta
from spavl.published.pictures import BadRowError
from spavl.published.rows import COLUMNS, Row, Split, clean_classes
from spavl.records import EvalItem, Image, Maker, Preference, SetAside, record_id
from spavl.shards import DatasetWriter
from spavl.taxonomy import load_taxonomy

IMAGES_PER_SHARD = 512
PUBLISHED = "published"
PNG = b"\x89PNG\r\n\x1a\n"
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
        set_aside: Rows by the reason why they, or their picture, cannot be used.
        example: The first of them, in words.
        joined: Kinds and responders that `meta_files` told.
        unread: Files of these that could not be read, and why.
    """

    rows: Counter[str] = field(default_factory=Counter)
    pictures: Counter[str] = field(default_factory=Counter)
    unknown_classes: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)
    example: str = ""
    joined: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)


def import_(
    place: str, out: Path, let_in: Callable[[bytes], Picture | str], layout: str | None = None
) -> Imported:
    """Brings a published data set in.

    Whether its answers are safe stays unknown until a moderator has said so.

    Args:
        place: Its folder, one file of it, or `hub:owner/name`.
        out: Folder of the data sets to be made; see `spavl.published`.
        let_in: A picture as it is stored, or why it cannot be used.
        layout: Name of its layout; None to find it file by file.

    Raises:
        InputError: There is no row at all, or a file is broken.
    """
    folder, layout = local_folder(place), named_layout(layout)
    imported, meta = Imported(), read_meta(folder)
    imported.unread = meta.unread
    with ExitStack() as stack:
        images = stack.enter_context(
            DatasetWriter(out / "images", Image, {"source": place}, {}, IMAGES_PER_SHARD)
        )
        writers = {
            name: stack.enter_context(DatasetWriter(out / name, record, {"source": place}))
            for name, record in RECORDS.items()
        }
        store = _Store(images, let_in, imported, read_classes(folder))
        for split in COLUMNS:  # those with classes first: training rows are joined to them
            for number, (path, row) in enumerate(_rows(folder, split, layout)):
                try:
                    if isinstance(row, BadRowError):
                        raise row
                    known = store.add(row)
                except BadRowError as bad:
                    name = path.name if isinstance(row, BadRowError) else row.image_name
                    detail = ": ".join(filter(None, (f"{split}, row {number}", bad.detail)))
                    aside = SetAside(name, "import", bad.reason, detail)
                    writers["images/set_asides"].add(aside)
                    imported.set_aside[bad.reason] += 1
                    imported.example = imported.example or detail
                    continue
                row = _joined(row, meta, imported.joined)
                belongs = row.split or split
                make = _preference if "chosen" in COLUMNS[belongs] else _item
                writers[FOLDERS[belongs]].add(make(row, belongs, number, known))
                imported.rows[belongs] += 1
        _require_rows(imported, place)
    return imported


def _require_rows(imported: Imported, place: str) -> None:
    if imported.rows:
        return
    if imported.set_aside:
        told = ", ".join(f"{count} {reason}" for reason, count in imported.set_aside.items())
        raise InputError(f"no usable row ({told})", place, f"correct them, e.g. {imported.example}")
    raise InputError("no rows: no JSON, JSON lines or Parquet", place, "name another folder")


def _rows(
    folder: Path, split: Split, layout: str | None
) -> Iterator[tuple[Path, Row | BadRowError]]:
    for path in files_of(folder, split):
        for row in read_rows(path, split, layout):
            yield path, row


def _joined(row: Row, meta: Meta, joined: Counter[str]) -> Row:
    """The row with what `meta_files` know of it."""
    kind = None if row.kind else meta.kind(row.question)
    told = {"kind": kind} if kind else {}
    for side in ("chosen", "rejected"):
        name = f"{side}_responder"
        answer = None if getattr(row, name) else getattr(row, side)
        if answer and (responder := meta.responder(answer)):
            told[name] = responder
    joined.update("kinds" if name == "kind" else "responders" for name in told)
    return replace(row, **told) if told else row  # type: ignore[arg-type]


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
        let_in: Callable[[bytes], Picture | str],
        imported: Imported,
        listed: dict[str, Shown],
    ) -> None:
        self._writer = writer
        self._let_in = let_in
        self._imported = imported
        self._listed = listed
        self._taxonomy = load_taxonomy()
        self._known: dict[bytes, _Known | str] = {}
        self._by_pixels: dict[str, _Known] = {}

    def add(self, row: Row) -> _Known:
        """What is known of the row's picture.

        Raises:
            BadRowError: It cannot be used.
        """
        digest = sha256(row.content).digest()
        if row.class3 and self._taxonomy.find(row.class3) is None:
            self._imported.unknown_classes[row.class3] += 1
        if digest not in self._known:
            picture = self._let_in(row.content)
            known = picture if isinstance(picture, str) else self._stored(row, picture)
            self._known[digest] = known
        if isinstance(found := self._known[digest], str):
            raise BadRowError(found)
        return found

    def _stored(self, row: Row, picture: Picture) -> _Known:
        pixels = sha256(picture.content).hexdigest()
        if known := self._by_pixels.get(pixels):  # the same pixels in other bytes
            return known
        if is_plain(row.content, picture):  # what went out of a run comes in as the same picture
            picture = picture._replace(content=row.content)
        image_id = sha256(picture.content).hexdigest()
        told = Shown("harmful" if row.class3 else "unknown", (row.class1, row.class2, row.class3))
        truth, published = told if row.class3 else self._listed.get(row.image_name, told)
        classes = clean_classes(published, self._taxonomy)
        self._writer.add(
            Image(
                image_id=image_id,
                source=row.image_name,
                truth=truth,
                thing=None,
                class1=classes[0],
                class2=classes[1],
                class3=classes[2],
                **picture._asdict(),
            )
        )
        self._imported.pictures[truth] += 1
        self._by_pixels[pixels] = _Known(image_id, truth, classes[2])
        return self._by_pixels[pixels]


def is_plain(content: bytes, picture: Picture) -> bool:
    """Whether a file that was decoded is a PNG of just these pixels, eight bits a colour.

    Such a file holds nothing that decoding would take away, so it may be stored as it is.
    """
    size = struct.pack(">II", picture.width, picture.height)
    header = PNG + struct.pack(">I", 13) + b"IHDR" + size + b"\x08\x02\x00\x00\x00"
    if not content.startswith(header):
        return False
    place, names = len(PNG), []
    while place + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        names.append(name)
        place += 12 + length
    inner = names[1:-1]
    return place == len(content) and names[-1] == b"IEND" and set(inner) == {b"IDAT"}


def _preference(row: Row, split: str, number: int, known: _Known) -> Preference:
    question_id = record_id("question", known.image_id, row.question)
    sides: dict[str, Any] = {}
    for side in ("chosen", "rejected"):
        text = getattr(row, side) or ""
        sides |= {
            side: text,
            f"{side}_response_id": record_id("response", question_id, text),
            f"{side}_responder": getattr(row, f"{side}_responder") or PUBLISHED,
            f"{side}_safe": None,
        }
    return Preference(
        preference_id=record_id("preference", PUBLISHED, split, str(number), question_id),
        question_id=question_id,
        question=row.question,
        kind=row.kind or "unknown",
        thing=None,
        reason1="",
        reason2="",
        maker=Maker(PUBLISHED),
        **vars(known),
        **sides,
    )


def _item(row: Row, split: str, number: int, known: _Known) -> EvalItem:
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
