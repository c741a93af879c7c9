"""The gallery: every row of the run's data, searched and filtered in a browser without a server.

A collection is a page, an index and files of rows:

    gallery/preferences.html              the page
    gallery/preferences/index.js          a code per row and facet; read at once, filtered in memory
    gallery/preferences/rows-000.js       `ROWS_PER_FILE` rows; read when they are shown or searched
    gallery/pictures/<image id>.webp      small pictures, read when they are shown

A link may carry a filter: `preferences.html#split=test&words=knife`.

Data are scripts that call a function of the page, since a page opened from a disk may not fetch.
They are JSON in ASCII; the page makes text nodes of what they say and never markup.
"""

import base64
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from components.reporting.files import write_text
from components.reporting.page import render_page
from spavl.images import ImageStore, thumbnail

ROWS_PER_FILE = 500
MOST_VALUES = 1000
"""Values of a facet that can be chosen; codes have 16 bits, and a list of more helps nobody."""
OTHERS = "(others)"
SOURCES = {"img-src": "'self'", "script-src": "'self'"}


@dataclass(frozen=True)
class Said:
    """One answer of a row: whose, what, what a judge found, and whether that is good."""

    who: str
    text: str
    found: str
    good: bool | None


@dataclass(frozen=True)
class GalleryRow:
    """One row.

    Attributes:
        image_id: Its picture; None where there is none.
        veiled: Whether the picture is blurred until asked for.
        question: What was asked.
        said: The answers.
        facts: What else is to be read of it.
        facets: What it is filtered by, as facet to value.
        rank: Rows of a lower rank are shown first; in the gallery of answers those that failed.
    """

    image_id: str | None
    veiled: bool
    question: str
    said: tuple[Said, ...]
    facts: str
    facets: Mapping[str, str]
    rank: int = 0


@dataclass(frozen=True)
class Collection:
    """Rows that share their facets, and the pictures they show."""

    name: str
    title: str
    rows: Iterable[GalleryRow]
    store: ImageStore


@dataclass
class _Index:
    """Facets as they are met: a code per row, and the values that the codes stand for."""

    codes: dict[str, list[int]] = field(default_factory=dict)
    values: dict[str, dict[str, int]] = field(default_factory=dict)
    ranks: list[int] = field(default_factory=list)

    def add(self, row: GalleryRow) -> None:
        for name, value in row.facets.items():
            known = self.values.setdefault(name, {})
            told = value if value in known or len(known) < MOST_VALUES else OTHERS
            self.codes.setdefault(name, []).append(known.setdefault(told, len(known)))
        self.ranks.append(row.rank)

    def content(self) -> dict[str, Any]:
        """The index as its file holds it: codes are 16-bit little-endian integers in base64."""
        facets = [
            {"name": name, "values": list(self.values[name]), "codes": _packed(codes)}
            for name, codes in self.codes.items()
        ]
        return {
            "count": len(self.ranks),
            "rows_per_file": ROWS_PER_FILE,
            "ranks": _packed(self.ranks),
            "facets": facets,
        }


def _packed(codes: list[int]) -> str:
    import numpy as np

    return base64.b64encode(np.array(codes, "<u2").tobytes()).decode()


def write_gallery(folder: Path, collections: Iterable[Collection], most: int, pixels: int) -> None:
    """Write the gallery anew.

    Args:
        folder: The gallery's folder; an earlier gallery in it is replaced.
        collections: What to show.
        most: Rows of a collection at most; the first are taken, and the page says so.
        pixels: Longest side of the pictures.
    """
    making = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(making, ignore_errors=True)
    for collection in collections:
        _write_collection(making, collection, most, pixels)
    shutil.rmtree(folder, ignore_errors=True)
    if making.exists():
        making.rename(folder)


def _write_collection(folder: Path, collection: Collection, most: int, pixels: int) -> None:
    index, place, pictures = _Index(), folder / collection.name, folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    written: set[str | None] = {None}
    rows = iter(collection.rows)
    kept = islice(rows, most)
    for number, chunk in enumerate(iter(lambda: list(islice(kept, ROWS_PER_FILE)), [])):
        for row in chunk:
            index.add(row)
            if row.image_id not in written:
                written.add(row.image_id)
                content = thumbnail(collection.store, row.image_id, pixels)
                (pictures / f"{row.image_id}.webp").write_bytes(content)
        data = json.dumps([_as_list(row) for row in chunk], separators=(",", ":"))
        write_text(place / f"rows-{number:03}.js", f"gallery.rows({number},{data});\n")
    cut = next(rows, None) is not None
    write_text(place / "index.js", f"gallery.index({json.dumps(index.content())});\n")
    page = render_page(
        "gallery.html.jinja", "gallery.js", SOURCES,
        title=collection.title, name=collection.name, cut=cut, most=most,
    )  # fmt: skip
    write_text(folder / f"{collection.name}.html", page)


def _as_list(row: GalleryRow) -> list[Any]:
    said = [[each.who, each.text, each.found, each.good] for each in row.said]
    return [row.image_id, row.veiled, row.question, said, row.facts]
