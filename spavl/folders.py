"""Going through folders that a user gives: nothing in them is trusted, followed or waited for."""

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path


class NoRegularFileError(OSError):
    """A folder, link, pipe, socket or device where a file was looked for."""


def walk(folder: Path) -> Iterator[Path]:
    """All that lies below a folder but for the folders themselves: files of a folder, then of its
    sub-folders, each by name.

    Links to folders are not entered, so no loop is. A folder that cannot be listed comes itself.
    Depth costs no recursion; memory holds the names of one folder and the folders still to visit.
    """
    pending = [os.fspath(folder)]
    while pending:
        place = pending.pop()
        try:
            files, below = _listed(place)
        except OSError:
            yield Path(place)
            continue
        yield from (Path(place, name) for name in files)
        pending.extend(os.path.join(place, name) for name in reversed(below))


def open_regular(path: Path) -> io.BufferedReader:
    """Opens a regular file for reading; no link, and nothing that could block or act when opened.

    Raises:
        NoRegularFileError: If it is anything else, even if it became so after being looked at.
        OSError: If it cannot be opened.
    """
    _require_regular(os.lstat(path), path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _require_regular(os.fstat(descriptor), path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _listed(folder: str) -> tuple[list[str], list[str]]:
    """Names in a folder, sorted: everything but folders, and the folders."""
    files: list[str] = []
    below: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            is_folder = False
            with contextlib.suppress(OSError):
                is_folder = entry.is_dir(follow_symlinks=False)
            (below if is_folder else files).append(entry.name)
    return sorted(files), sorted(below)


def _require_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NoRegularFileError(f"{kind_of(status)}, no file: {path}")


def kind_of(status: os.stat_result) -> str:
    """What a path is, in a word or two."""
    kinds = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a link",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(status.st_mode), "a special file")
