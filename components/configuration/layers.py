"""Settings in layers: what a later layer gives wins, and every value remembers who gave it.

A layer is a tree as YAML makes it. While layers are merged, each plain value stands in a `Given`
beside the name of its origin; so the origin of a resolved value need not be worked out afterwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from spavl.errors import InputError
from spavl.settings.messages import unknown_key

EVERY_ITEM = "*"


@dataclass(frozen=True)
class Given:
    """A plain value and who gave it."""

    value: Any
    origin: str


Tree = dict[str, Any] | list[Any] | Given
"""Dicts and lists as in YAML, with every plain value a `Given`."""


def given(value: Any, origin: str) -> Tree:
    """A tree of plain values as one of `Given`."""
    if isinstance(value, dict):
        return {str(key): given(child, origin) for key, child in value.items()}
    if isinstance(value, list):
        return [given(child, origin) for child in value]
    return Given(value, origin)


def plain(tree: Tree) -> Any:
    """The tree without its origins."""
    if isinstance(tree, dict):
        return {key: plain(child) for key, child in tree.items()}
    if isinstance(tree, list):
        return [plain(child) for child in tree]
    return tree.value


def origins(tree: Tree, key: str = "") -> Iterator[tuple[str, str]]:
    """Key and origin of every plain value and of every list of plain values.

    Items of a list are named by their id, or else by their number.
    """
    if isinstance(tree, Given):
        yield key, tree.origin
        return
    if isinstance(tree, list) and tree and all(isinstance(child, Given) for child in tree):
        yield key, tree[0].origin
        return
    children = tree.items() if isinstance(tree, dict) else zip(_names(tree), tree, strict=True)
    for name, child in children:
        yield from origins(child, f"{key}.{name}".lstrip("."))


def merge(lower: Tree, upper: Tree, key: str = "") -> Tree:
    """Two layers as one.

    Keys are merged at every depth; plain values and lists are replaced. Keys given over a list
    change its items, named by id, by number or all together by `*`. A mapping that names another
    `backend` begins anew, since backends share no keys. A key left empty in YAML changes nothing
    where it holds keys.

    Args:
        lower: What is changed.
        upper: What it is changed to.
        key: Where the trees stand, for messages.

    Raises:
        InputError: A key below a plain value, or an item that a list does not hold.
    """
    if isinstance(lower, dict) and _is_null(upper):
        return lower
    if not isinstance(upper, dict) or _is_null(lower):
        return upper
    if isinstance(lower, list):
        return _merge_items(lower, upper, key)
    if isinstance(lower, Given):
        below = ".".join(filter(None, (key, next(iter(upper), ""))))
        raise InputError("a key below a plain value", below, f"{key} holds no keys")
    if _backend(upper) not in (None, _backend(lower)):
        return upper
    merged = dict(lower)
    for name, child in upper.items():
        place = f"{key}.{name}".lstrip(".")
        merged[name] = merge(lower[name], child, place) if name in lower else child
    return merged


def _merge_items(lower: list[Any], upper: dict[str, Any], key: str) -> list[Any]:
    names = _names(lower)
    merged = list(lower)
    for name, change in upper.items():
        wanted = range(len(names)) if name == EVERY_ITEM else _places(name, names, key)
        for place in wanted:
            merged[place] = merge(merged[place], change, f"{key}.{names[place]}")
    return merged


def _places(name: str, names: list[str], key: str) -> list[int]:
    if name in names:
        return [names.index(name)]
    if name.isdecimal() and int(name) < len(names):
        return [int(name)]
    raise unknown_key("item", name, names, f"{key}.")


def _names(items: list[Any]) -> list[str]:
    ids = [item.get("id") if isinstance(item, dict) else None for item in items]
    return [
        str(found.value) if isinstance(found, Given) else str(number)
        for number, found in enumerate(ids)
    ]


def _is_null(tree: Tree) -> bool:
    return isinstance(tree, Given) and tree.value is None


def _backend(tree: dict[str, Any]) -> Any:
    found = tree.get("backend")
    return found.value if isinstance(found, Given) else None
