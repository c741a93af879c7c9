"""Folders of runs: a request makes one, and an unfinished one is found again by its request."""

import hashlib
import itertools
import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pipelines.preflight import check_name
from spavl.environment import cache_folder
from spavl.errors import InputError
from spavl.secrets import MASK, masked_tree
from spavl.shards import write_json

Request = TypeVar("Request")

FINISHED, EVENTS = "finished.json", "events.jsonl"


def new_folder(request: Any, file: str, out: Path, name: str | None, label: str) -> Path:
    """Make the folder of a new run and keep its request there.

    Args:
        request: What was asked for, a dataclass.
        file: Name of the request's file.
        out: Folder of all runs.
        name: The folder's name; `label` and the time by default.
        label: What a run without a name is called after.

    Raises:
        InputError: If the name is no folder's, or a run of that name exists.
    """
    if name is not None:
        check_name(name)
    if (out / file).exists():
        raise InputError(
            "the folder of one run, not of all runs", str(out), f"say --out {out.parent}"
        )
    folder = out / (name or _free_name(out, label))
    if (folder / file).exists():
        raise InputError(
            "a run of that name exists", str(folder), "resume it or choose another name"
        )
    folder.mkdir(parents=True, exist_ok=True)
    _keep_request(folder / file, asdict(request))
    return folder


def _keep_request(path: Path, content: dict[str, Any]) -> None:
    """A request names no secret; one that needs it to go on is in the user's cache folder."""
    shown = masked_tree(content)
    write_json(path, shown)
    if json.dumps(shown) != json.dumps(content):
        place = _unmasked(path)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.touch(mode=0o600)
        place.write_text(json.dumps(content))


def _unmasked(path: Path) -> Path:
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()
    return cache_folder() / "requests" / f"{name}.json"


def _free_name(out: Path, label: str) -> str:
    """A label and the time; a number more where two runs start in one second."""
    stamp = f"{label}-{datetime.now():%Y%m%d-%H%M%S}"
    names = itertools.chain([stamp], (f"{stamp}-{count}" for count in itertools.count(2)))
    return next(name for name in names if not (out / name).exists())


def unfinished(kind: type[Request], file: str, out: Path, name: str | None) -> tuple[Path, Request]:
    """The newest run that has not come to its end, or the named one, and what it was asked to do.

    Args:
        kind: What requests are.
        file: Name of their file.
        out: Folder of all runs.
        name: The run's name; None for the newest.

    Raises:
        InputError: If there is none, or its request cannot be read.
    """
    requests = sorted(out.glob(f"{name or '*'}/{file}"), key=lambda path: path.stat().st_mtime)
    left = [path for path in requests if not (path.parent / FINISHED).exists()]
    begun = [path for path in left if (path.parent / EVENTS).exists()]
    left = begun or left  # one that never began has nothing to go on with
    if not left:
        what = "that run is finished" if name and requests else "no unfinished run"
        where = str(out / name) if name else str(out)
        raise InputError(what, where, "start one without --resume")
    return left[-1].parent, _read_request(kind, left[-1])


def _read_request(kind: type[Request], path: Path) -> Request:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        if MASK in json.dumps(content):
            kept = json.loads(_unmasked(path).read_text())
            content = kept if masked_tree(kept) == content else content
        lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
        return kind(**{**content, **lists})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"unreadable request: {error}", str(path), "start the run anew under another name"
        ) from None
