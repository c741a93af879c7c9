"""Small files, written whole: a reader finds the old content or the new, whatever happens."""

import os
import uuid
from pathlib import Path


def write_whole(path: Path, content: bytes, sync: bool = True) -> None:
    """Give a file its content; several may do so at once.

    Args:
        path: The file, in a folder that is there.
        content: All of it.
        sync: Whether it must be on disk, and its name in the folder, when this returns.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if sync:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
