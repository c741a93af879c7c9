"""A described table becomes items; a row that cannot is set aside, told and counted."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.evaluation.items import Asked, Missing
from components.evaluation.metrics import COMPLY, REFUSE
from components.evaluation.published.descriptions import Description, Reading, filled
from components.evaluation.published.making import Row, published_picture
from components.evaluation.published.tables import rows_of_table
from spavl.records import Image

TRUTHS = {REFUSE: "harmful", COMPLY: "harmless"}


@dataclass
class _Aside:
    """Rows that were set aside, by reason, and where the first of each lies."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, where: str) -> None:
        self.counts[reason] += 1
        self.first.setdefault(reason, where)

    def told(self, benchmark: str) -> Iterator[Missing]:
        for reason, n in self.counts.items():
            yield Missing(benchmark, None, f"{reason}, first {self.first[reason]}", n)


class _RowError(Exception):
    """Why a row is no item."""


def read(description: Description, folder: Path) -> Iterator[Asked | Missing]:
    """Every item of a described benchmark, and what is missing.

    Args:
        description: How its tables are read.
        folder: The benchmark's folder.
    """
    aside, seen = _Aside(), Counter[str]()
    if not folder.is_dir():
        return  # there are too many tables to tell of each that nobody has fetched
    for reading in description.tables:
        paths = sorted(folder.glob(reading.file))
        if not paths:
            yield Missing(description.name, None, f"{reading.file} in {folder.name}/")
        for path in paths:
            for number, row in rows_of_table(path, reading):
                try:
                    yield _asked(description.name, reading, row, folder, seen)
                except _RowError as error:
                    aside.add(str(error), f"row {number} of {path.name}")
    yield from aside.told(description.name)


def look_into(description: Description, folder: Path) -> None:
    """Read the first row of every table, by which most that is wrong with one is found.

    Raises:
        InputError: If a table cannot be read or lacks a column.
    """
    for reading in description.tables:
        for path in sorted(folder.glob(reading.file)):
            next(rows_of_table(path, reading), None)


def _asked(
    name: str, reading: Reading, row: Mapping[str, Any] | None, folder: Path, seen: Counter[str]
) -> Asked:
    if row is None:
        raise _RowError("rows that are no columns with values")
    prompt = filled(reading.prompt, row)
    if not isinstance(prompt, str) or not prompt.strip():
        raise _RowError("rows without a prompt")
    expect = _expected(reading, row)
    picture = _picture(name, reading, row, folder, TRUTHS[expect])
    category, pair = filled(reading.category, row), filled(reading.pair, row)
    key = f"{prompt} {picture.image_id if picture else ''}"
    seen[f"{expect} {key}"] += 1  # the same row twice is two items
    found = Row(
        name,
        expect,
        f"{key} {seen[f'{expect} {key}']}",
        prompt.strip(),
        TRUTHS[expect],
        None if category in (None, "") else str(category),
        None if pair in (None, "") else f"{name} {pair}",
    )
    return Asked(picture, (found.item(picture),))


def _expected(reading: Reading, row: Mapping[str, Any]) -> str:
    told = str(filled(reading.expect, row))
    expect = reading.values.get(told, told)
    if expect not in TRUTHS:
        raise _RowError(f"rows that expect {told[:40]!r} and not {REFUSE} or {COMPLY}")
    return expect


def _picture(
    name: str, reading: Reading, row: Mapping[str, Any], folder: Path, truth: str
) -> Image | None:
    if reading.image is None:
        return None
    found = filled(reading.image, row)
    picture = published_picture(_content(found, folder), f"{name}/{reading.file}", truth)
    if picture is None:
        raise _RowError("rows whose picture is not there or cannot be read")
    return picture


def _content(found: Any, folder: Path) -> bytes:
    """A picture's bytes: as they are, in a struct, or in a file below the benchmark's folder."""
    if isinstance(found, Mapping):
        found = found.get("bytes") or found.get("path")
    if isinstance(found, bytes):
        return found
    path = _file(folder, str(found or ""))
    return path.read_bytes() if path else b""


def _file(folder: Path, name: str) -> Path | None:
    """The file of that name, or of that name with another ending; never outside of the folder."""
    path = folder / name
    try:
        if not name or not path.resolve().is_relative_to(folder.resolve()):
            return None
        if path.is_file():
            return path
        return next((p for p in sorted(path.parent.glob("*.*")) if p.stem == path.stem), None)
    except (OSError, ValueError):
        return None
