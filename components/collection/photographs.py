"""Photographs of a folder: every file becomes a picture or is set aside with a reason."""

import errno
import hashlib
import os
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

from components.collection.classes import PhotographClass
from components.collection.decoding import Decoded, Unusable
from components.collection.sandbox import Decoders
from spavl.folders import NoRegularFileError, kind_of, open_regular, walk
from spavl.records import Image, SetAside
from spavl.secrets import masked
from spavl.settings.collection import CollectionSettings

Candidate = Image | SetAside


def photographs(
    folder: Path, classes: Mapping[str, PhotographClass], settings: CollectionSettings
) -> Generator[Candidate, None, None]:
    """Reads a folder's files, then its sub-folders, each by name.

    Args:
        folder: The folder.
        classes: Relative file name to what is known of the photograph.
        settings: Bounds on what is read and stored.
    """
    root = folder.resolve()
    with Decoders(settings) as decoders:
        for relative, outcome in decoders.decoded(_contents(root, settings.max_bytes)):
            # Names need not be UTF-8 on disk, but records are.
            name = _readable(relative)
            if isinstance(outcome, Unusable):
                yield SetAside(name, "collection", outcome.reason, outcome.detail)
            else:
                yield to_record(name, outcome, classes.get(relative, PhotographClass()))


def count_files(folder: Path) -> int:
    """How many files `photographs` will go through."""
    return sum(1 for _ in walk(folder.resolve()))


def _contents(root: Path, max_bytes: int) -> Iterator[tuple[str, bytes | Unusable]]:
    for path in walk(root):
        relative = path.relative_to(root).as_posix()
        try:
            yield relative, _read(path, root, max_bytes)
        except Unusable as unusable:
            yield relative, unusable


def _read(path: Path, root: Path, max_bytes: int) -> bytes:
    try:
        if path.is_dir() and not path.is_symlink():
            os.scandir(path).close()  # says why it could not be listed
        target = _inside(path, root)
        with open_regular(target) as stream:
            before = os.fstat(stream.fileno())
            if before.st_size > max_bytes:
                raise Unusable("too large", f"{before.st_size} bytes, at most {max_bytes} are read")
            content = stream.read(max_bytes + 1)
            after = os.fstat(stream.fileno())
    except NoRegularFileError:
        raise Unusable("not a file", kind_of(target.lstat())) from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise _unreadable(error) from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise Unusable("unreadable", "it changed while it was read")
    if not content:
        raise Unusable("empty file", "0 bytes")
    return content


def _inside(path: Path, root: Path) -> Path:
    """The path without links.

    Raises:
        Unusable: If it leads out of the folder.
    """
    target = path.resolve(strict=True)
    if not target.is_relative_to(root):
        raise Unusable("symlink to outside", f"to {_readable(target)}"[:200])
    return target


def _readable(path: Path) -> str:
    """A path as text, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _unreadable(error: OSError | RuntimeError) -> Unusable:
    number = getattr(error, "errno", None)
    if isinstance(error, RuntimeError) or number == errno.ELOOP:
        return Unusable("unreadable", "a link to itself")
    if number in (errno.EACCES, errno.EPERM):
        return Unusable("no permission", "it may not be read")
    return Unusable("unreadable", os.strerror(number) if number else type(error).__name__)


def to_record(source: str, decoded: Decoded, known: PhotographClass) -> Image:
    """The picture as it is stored, under the digest of its bytes."""
    return Image(
        image_id=hashlib.sha256(decoded.content).hexdigest(),
        content=decoded.content,
        media_type="image/png",
        width=decoded.width,
        height=decoded.height,
        source=masked(source),  # an address may be signed
        truth=known.truth,
        class1=known.class1,
        class2=known.class2,
        class3=known.class3,
        thing=None,
    )
