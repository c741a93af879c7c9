"""Values as MLflow takes them: names, texts and numbers that it would refuse are mended."""

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from spavl.digests import json_digest
from spavl.secrets import masked

NAME_CHARACTERS = 250
PARAM_CHARACTERS = 6000
TAG_CHARACTERS = 5000
PER_CALL = {"metrics": 500, "params": 100, "tags": 100}  # MLflow takes 1,000, 100 and 100

Item = TypeVar("Item")


def metric_name(name: str) -> str:
    """The name with what MLflow refuses replaced; one too long ends in its digest."""
    clean = posixpath.normpath(re.sub(r"[^/\w.\- ]", "_", name, flags=re.ASCII)).strip("/. ") or "_"
    if len(clean) <= NAME_CHARACTERS:
        return clean
    return f"{clean[: NAME_CHARACTERS - 9]}-{json_digest(name)[:8]}"


def text(value: object, characters: int) -> str:
    """A value as a text of at most so many characters that any database stores."""
    told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    told = (
        masked(told).encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    )
    return told if len(told) <= characters else told[: characters - 2] + " …"


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`{"a": {"b": 1}}` gives `("a.b", 1)`; lists stay values."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def numbers(tree: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a tree under names that MLflow takes; what is no number is left out."""
    found = {}
    for key, value in flat(tree):
        if isinstance(value, int | float):
            try:
                found[metric_name(key)] = float(value)
            except OverflowError:
                continue
    return found


def parameters(tree: Mapping[str, Any]) -> dict[str, str]:
    """The leaves of a tree as parameters."""
    return {metric_name(key): text(value, PARAM_CHARACTERS) for key, value in flat(tree)}


def batches(items: Iterable[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in lists of at most `size`."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
