"""The reigning champion: where publishing leaves it and where evaluation finds it.

Models of one registered name are a line. Every champion keeps its folder
`work_root/champion/<digest>` with the decision that promoted it, which names the champion it was
compared with, and the record of the best that its line had reached by then. `lines/<name>.json`
points to a line's last champion, `champion.json` to the last one of all lines.
"""

import hashlib
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spavl.environment import work_root
from spavl.errors import BusyError, InputError
from spavl.shards import write_json
from spavl.storable import read_json
from spavl.storage import Bucket, is_s3, keep, local_copy, parts_of, refreshed, uri_of
from spavl.storage.lease import Lease

POINTER = "champion.json"
DECISION = "decision.json"
RECORD = "record.json"
"""Beside the decision: per figure the best value of the line, with its answers' scores."""
PATIENCE_SECONDS = 300.0


class OvertakenError(BusyError):
    """Another model became champion since the gate compared."""

    MARK = "another model became champion"


@dataclass(frozen=True)
class Champion:
    """A published model.

    Attributes:
        digest: Digest of its files.
        folder: Where it lies.
    """

    digest: str
    folder: Path


def champions_folder() -> Path:
    """Where champions lie."""
    return work_root() / "champion"


def line_pointer(name: str) -> Path:
    """The file that points to the last champion of a name, which may hold any sign."""
    return champions_folder() / "lines" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def reigning_champion(name: str, besides: Collection[str] = ()) -> Champion | None:
    """The last champion of a name.

    Args:
        name: The registered model's name: only models of one name succeed one another.
        besides: Digests of models that cannot be their own champion. If one of them reigns, as in a
            run that is repeated, the one before it is meant.

    Returns:
        The champion; None without one, or if its files are gone.
    """
    pointer = _read(line_pointer(name)) or _read(champions_folder() / POINTER)
    if pointer.get("name") != name:
        return None
    digest, seen = pointer.get("digest"), set[str]()
    while digest in besides and digest not in seen:
        seen.add(str(digest))
        digest = _read(champions_folder() / str(digest) / DECISION).get("champion")
    folder = refreshed(champions_folder() / str(digest))
    known = digest and digest not in besides and folder.is_dir()
    return Champion(str(digest), folder) if known else None


def line_record(champion: str | None) -> dict[str, Any]:
    """The record of the best that the line of a champion had reached; empty without one."""
    return _read(champions_folder() / champion / RECORD) if champion else {}


def crown(content: Mapping[str, Any], compared: str | None, besides: Collection[str]) -> None:
    """Let the pointers name a new champion, if still that one reigns which it was compared with.

    Args:
        content: What the pointers shall say; `name` and `digest` among it.
        compared: Digest of the champion that the gate compared it with; None if nobody reigned.
        besides: Digests of models that cannot be their own champion, as the gate saw it.

    Raises:
        OvertakenError: If another model was crowned meanwhile.
    """
    with _alone() as still_alone:
        reigning = reigning_champion(content["name"], besides)
        if (reigning and reigning.digest) != compared:
            raise OvertakenError(
                f"{OvertakenError.MARK} of {content['name']} meanwhile: try again, the gate then "
                "compares with that one"
            )
        for place in (line_pointer(content["name"]), champions_folder() / POINTER):
            place.parent.mkdir(parents=True, exist_ok=True)
            write_json(place, dict(content))
            still_alone()
            keep(place)


@contextmanager
def _alone() -> Iterator[Any]:
    """One publisher at a time, of this machine and of all that share its work on S3.

    Yields:
        What makes sure that it is still so.
    """
    from filelock import FileLock, Timeout

    folder = champions_folder()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "champion.lock", timeout=PATIENCE_SECONDS):
            uri = uri_of(folder / "champion")
            if not is_s3(uri):
                yield lambda: None
                return
            bucket, name = parts_of(uri)
            lease = Lease(Bucket(bucket), name)
            with lease.held(uuid.uuid4().hex, PATIENCE_SECONDS):
                yield lease.check
    except Timeout:
        raise BusyError(
            f"another process holds {folder / 'champion.lock'}: try again when it has ended"
        ) from None


def _read(path: Path) -> dict[str, Any]:
    file = _here(path)
    try:
        content = read_json(file.read_bytes()) if file else {}
    except OSError:
        return {}
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise InputError("a damaged file", str(path), "put back what it held, or remove it")
    return content


def _here(path: Path) -> Path | None:
    """The same path with what lies there on S3, where it stands for that; None if nothing does."""
    try:
        return local_copy(uri_of(path))
    except InputError:
        return None
