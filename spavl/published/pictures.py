"""Pictures of published rows: bytes, a path beside the file, or both, alone or in a list of one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spavl.errors import InputError
from spavl.folders import open_regular

NAMES = ("image", "images", "picture", "img")
"""Columns that a row's picture may stand in, the first that is there."""
MOST_BYTES = 64 * 2**20
TOO_LARGE = object()
"""Stands for a value that was not taken into memory."""


class BadRowError(Exception):
    """A row that cannot be used.

    Attributes:
        reason: One of a fixed few, for counting.
        detail: What exactly was found.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def require_pictures(columns: Sequence[str], path: Path, also: Sequence[str] = ()) -> None:
    """Check that a column holds pictures.

    Args:
        columns: Those that are there.
        path: Their file.
        also: Columns that stand in the place of pictures in some rows.

    Raises:
        InputError: There is none; names those that are there.
    """
    if not {*columns} & {*NAMES, *({"video"} & {*also})}:
        found = ", ".join(map(str, columns[:20])) or "none"
        raise InputError(
            f"no column of pictures among: {found[:300]}", str(path), "name the column image"
        )


def picture_of(cell: Any, path: Path) -> tuple[str, bytes]:
    """A picture's file name and content.

    Args:
        cell: What the row says.
        path: The row's file, beside which pictures lie.

    Raises:
        BadRowError: There is none, there are several, or it cannot be read.
    """
    if cell is TOO_LARGE:
        raise BadRowError("too large", f"at most {MOST_BYTES} bytes are read")
    match cell:
        case None | 0 | "" | b"" | []:
            raise BadRowError("no picture in this row")
        case [only]:
            return picture_of(only, path)
        case list():
            raise BadRowError("several pictures in this row", f"{len(cell)}, one is wanted")
        case bytes():
            return "", _bounded(cell)
        case str():
            return _beside(path, cell)
        case Mapping():
            name = cell.get("path") or cell.get("file_name") or ""
            if not isinstance(name, str):
                raise BadRowError("a picture of an unknown kind", "its path is no text")
            content = cell.get("bytes")
            if isinstance(content, bytes) and content:
                return Path(name).name, _bounded(content)
            if name:
                return _beside(path, name)
            raise BadRowError("no picture in this row", "neither bytes nor a path")
    raise BadRowError("a picture of an unknown kind", type(cell).__name__)


def _bounded(content: bytes) -> bytes:
    if len(content) > MOST_BYTES:
        raise BadRowError("too large", f"{len(content)} bytes, at most {MOST_BYTES} are read")
    return content


def _beside(path: Path, name: str) -> tuple[str, bytes]:
    """A picture that lies beside the file or below; nothing that leads elsewhere is followed."""
    try:
        picture = (path.parent / name).resolve()
        if picture.is_relative_to(path.parent.resolve()) and picture.exists():
            with open_regular(picture) as stream:
                return picture.name, _bounded(stream.read(MOST_BYTES + 1))
    except (OSError, ValueError):  # ValueError: a byte that no name can hold
        pass
    raise BadRowError("no picture of that name", f"{name[:200]!r}: pictures lie beside the file")
