"""Small files: the JSON that stages leave beside their data, and what this stage writes."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from spavl.environment import work_root
from spavl.errors import InputError
from spavl.files import write_whole
from spavl.storage import is_s3, keep, local_copy, uri_of
from spavl.work import publish_path


def read_json(path: str | Path, name: str) -> dict[str, Any]:
    """Read a JSON object from a file, or from the file `name` in a folder.

    Raises:
        InputError: If it is missing or is not a JSON object.
    """
    file = _own_file(path, name)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"unreadable {name}", str(file), "run the stage that writes it") from error
    if not isinstance(content, dict):
        raise InputError(f"{name} is no JSON object", str(file), "run the stage that writes it")
    return content


def read_optional(path: str | Path, name: str) -> dict[str, Any]:
    """Like `read_json` for a folder's file that need not be there: then empty."""
    return read_json(path, name) if _own_file(path, name).is_file() else {}


def read_curves(folder: str | Path) -> list[dict[str, float]]:
    """The logged steps of a trainer, in the order written; empty where it logged none."""
    file = _own_file(folder, "curves.jsonl")
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text().splitlines() if line.strip()]


def _own_file(path: str | Path, name: str) -> Path:
    """A file that is named itself or by its folder; of one on S3 no other file is fetched."""
    if is_s3(str(path)):
        with suppress(InputError):  # a folder need not hold it
            return local_copy(f"{path}/{name}")
    place = local_path(path)
    return place / name if place.is_dir() else place


def local_path(uri: str | Path) -> Path:
    """A path of this machine from a path or an address."""
    return local_copy(str(uri))


def share_beside_work(folder: Path, names: Iterable[str]) -> None:
    """Bring a run's files to `runs/<run>` of the work root, where that is on S3."""
    place = work_root() / "runs" / folder.name
    if is_s3(uri_of(place)):
        for name in names:
            publish_path(folder / name, place / name)
        keep(place)


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is whole or not there.

    The name gets a new file: where the old one was hard-linked elsewhere, it stays as it was there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.encode("utf-8"))
