"""The reigning champion: where publishing leaves it and where evaluation finds it.

Every champion keeps its folder `work_root/champion/<digest>` with the decision that promoted it,
and that decision names the champion it was compared with; `champion.json` points to the last one.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spavl.environment import work_root
from spavl.errors import InputError
from spavl.storage import local_copy, refreshed, uri_of

POINTER = "champion.json"
DECISION = "decision.json"


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


def reigning_champion(name: str, besides: Collection[str] = ()) -> Champion | None:
    """The last champion of a name.

    Args:
        name: The registered model's name: only models of one name succeed one another.
        besides: Digests of models that cannot be their own champion. If one of them reigns, as in a
            run that is repeated, the one before it is meant.

    Returns:
        The champion; None without one, or if its files are gone.
    """
    pointer = _read(champions_folder() / POINTER)
    if pointer.get("name") != name:
        return None
    digest, seen = pointer.get("digest"), set[str]()
    while digest in besides and digest not in seen:
        seen.add(str(digest))
        digest = _read(champions_folder() / str(digest) / DECISION).get("champion")
    folder = refreshed(champions_folder() / str(digest))
    known = digest and digest not in besides and folder.is_dir()
    return Champion(str(digest), folder) if known else None


def _read(path: Path) -> dict[str, Any]:
    file = _here(path)
    try:
        content: dict[str, Any] = json.loads(file.read_text()) if file else {}
    except (OSError, ValueError):
        return {}
    return content


def _here(path: Path) -> Path | None:
    """The same path with what lies there on S3, where it stands for that; None if nothing does."""
    try:
        return local_copy(uri_of(path))
    except InputError:
        return None
