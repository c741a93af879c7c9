"""Photographs of a folder: every file becomes a picture or is set aside with a reason."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from components.collection.classes import PhotographClass
from components.collection.decoding import Unusable, decode, encode
from spavl.records import Image, SetAside
from spavl.settings.collection import CollectionSettings

Candidate = Image | SetAside


def photographs(
    folder: Path, classes: Mapping[str, PhotographClass], settings: CollectionSettings
) -> Iterator[Candidate]:
    """Reads a folder's files, then its sub-folders, each by name.

    Args:
        folder: The folder.
        classes: Relative file name to what is known of the photograph.
        settings: Bounds on what is read and stored.
    """
    root = folder.resolve()
    for path in _files(root):
        relative = path.relative_to(root).as_posix()
        # Names need not be UTF-8 on disk, but records are.
        name = relative.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        try:
            content = _read(path, root, settings.max_bytes)
            yield _record(name, content, classes.get(relative, PhotographClass()), settings)
        except Unusable as error:
            yield SetAside(name, "collection", error.reason, error.detail)


def count_files(folder: Path) -> int:
    """How many files `photographs` will go through."""
    return sum(1 for _ in _files(folder.resolve()))


def _files(root: Path) -> Iterator[Path]:
    """All files, links and whatever else is no folder; a folder that cannot be listed as such."""
    unlisted: list[Path] = []
    walk = os.walk(root, onerror=lambda error: unlisted.append(Path(error.filename)))
    for folder, below, files in walk:
        below.sort()
        links = [name for name in below if os.path.islink(os.path.join(folder, name))]
        yield from (Path(folder, name) for name in sorted([*files, *links]))
    yield from unlisted


def _read(path: Path, root: Path, max_bytes: int) -> bytes:
    try:
        if not path.resolve(strict=True).is_relative_to(root):
            raise Unusable("symlink to outside", str(path.readlink()) if path.is_symlink() else "")
        if not path.is_file():
            raise Unusable("not a file", "a folder, link to a folder or special file")
        with path.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise Unusable("unreadable", getattr(error, "strerror", None) or str(error)) from None
    if not content:
        raise Unusable("empty file", "0 bytes")
    if len(content) > max_bytes:
        raise Unusable("too large", f"more than {max_bytes} bytes")
    return content


def _record(
    name: str, content: bytes, known: PhotographClass, settings: CollectionSettings
) -> Image:
    picture = decode(content, settings)
    stored = encode(picture)
    return Image(
        image_id=hashlib.sha256(stored).hexdigest(),
        content=stored,
        media_type="image/png",
        width=picture.width,
        height=picture.height,
        source=name,
        truth=known.truth,
        class1=known.class1,
        class2=known.class2,
        class3=known.class3,
        thing=None,
    )
