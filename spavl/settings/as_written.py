"""YAML that a person wrote, read so that no value is silently another.

YAML 1.1 reads 010 as 8, 1:30 as 90, `no` as false and 2026-11-28 as a date. Here a plain word is a
number, true or false only where writing that value down again gives the very same word; any other
is a text, which a setting that wants a number refuses where Python would read it as another one
(010, 1_0). So a number stands for its text as well, where a setting wants a text.
"""

import re
from collections.abc import Hashable
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)

TAGS = "tag:yaml.org,2002:"
MOST_VALUES = 100_000
MARK = " (as written)"
ODD_NUMBER = re.compile(r"[-+]?(0\d.*|\d[\d.]*_.*)")
NOT_FINITE = {".inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}


class _AsWritten(yaml.SafeLoader):
    """Also refuses a key given twice, of which YAML would silently keep the last."""

    yaml_implicit_resolvers = {}  # noqa: RUF012
    # Tags that are written out, like !!int, may stand before what is none.
    yaml_constructors: ClassVar[dict[Any, Any]] = {
        tag: yaml.SafeLoader.yaml_constructors[tag]
        for tag in (None, f"{TAGS}null", f"{TAGS}str", f"{TAGS}seq", f"{TAGS}map")
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen and key.value != "<<":
                said = f"the key {key.value!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, said, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _bool(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> bool:
    return bool(loader.construct_scalar(node) == "true")


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int | float | str:
    text = str(loader.construct_scalar(node))
    for kind in (int, float):
        try:
            if str(kind(text)) == text:
                return kind(text)
        except ValueError:
            continue
    return text


def _not_finite(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return NOT_FINITE.get(str(loader.construct_scalar(node)), float("nan"))


_AsWritten.add_implicit_resolver(f"{TAGS}null", re.compile(r"^(~|null|Null|NULL|)$"), [*"~nN", ""])
_AsWritten.add_implicit_resolver("!bool", re.compile("^(true|false)$"), [*"tf"])
_AsWritten.add_implicit_resolver(f"{TAGS}merge", re.compile("^<<$"), ["<"])
_AsWritten.add_implicit_resolver("!number", re.compile(r"^-?[0-9]"), [*"-0123456789"])
_AsWritten.add_implicit_resolver("!not-finite", re.compile(r"^(-?\.inf|\.nan)$"), [*"-."])
_AsWritten.add_constructor("!bool", _bool)
_AsWritten.add_constructor("!number", _number)
_AsWritten.add_constructor("!not-finite", _not_finite)


def read_yaml(text: str) -> Any:
    """YAML's plain dicts, lists, texts, numbers, true, false and null.

    Raises:
        yaml.YAMLError: It is no YAML, nested too deep, or gives a key twice.
    """
    try:
        tree = yaml.load(text, _AsWritten)
    except RecursionError:
        raise yaml.YAMLError("nested too deep") from None
    _require_bounded(tree)
    return tree


def checked(model: type[Model], raw: Any) -> Model:
    """Settings of `read_yaml`, validated; a number where a text is wanted is taken as written.

    Raises:
        ValidationError: What is wrong with them.
    """
    _require_plain_numbers(model, raw)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        meant = raw
        for one in error.errors(include_context=False, include_url=False):
            if one["type"] == "string_type" and isinstance(one["input"], bool | int | float):
                meant = _replaced(meant, list(one["loc"]), _text(one["input"]))
        if meant is raw:
            raise
    return model.model_validate(meant)


def _require_plain_numbers(model: type[BaseModel], raw: Any) -> None:
    """Python reads true as 1, 1_0 as 10 and 010 as 10: where a number is wanted, that is refused.

    Written as what is no number, such values trouble only the settings that want one.

    Raises:
        ValidationError: Names these settings.
    """
    marked = _marked(raw)
    if marked == raw:
        return
    try:
        model.model_validate(marked)
    except ValidationError as error:
        meant = raw
        for one in error.errors(include_context=False, include_url=False):
            if one["type"] in ("int_parsing", "float_parsing") and MARK in str(one["input"]):
                shown = re.sub(f"^(true|false){re.escape(MARK)}$", r"\1", str(one["input"]))
                meant = _replaced(meant, list(one["loc"]), shown)
        if meant != raw:
            model.model_validate(meant)


def _marked(tree: Any) -> Any:
    """The tree with a mark on every plain value that Python would take for another number."""
    if isinstance(tree, dict):
        return {key: _marked(child) for key, child in tree.items()}
    if isinstance(tree, list):
        return [_marked(child) for child in tree]
    if isinstance(tree, bool):
        return f"{str(tree).lower()}{MARK}"
    odd = isinstance(tree, str) and ODD_NUMBER.fullmatch(tree)
    return f"{tree}{MARK}" if odd else tree


def _require_bounded(tree: Any) -> None:
    """Aliases may stand for themselves, or for more than memory holds."""
    waiting, seen = [tree], 0
    while waiting:
        node = waiting.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise yaml.YAMLError(f"more than {MOST_VALUES:,} values")
        waiting += (
            node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        )


def _text(value: bool | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _replaced(raw: Any, path: list[int | str], text: str) -> Any:
    """The tree with another leaf; parts of the path that it lacks are pydantic's own tags."""
    if not path:
        return text
    first, *rest = path
    if isinstance(raw, dict) and first in raw:
        return {**raw, first: _replaced(raw[first], rest, text)}
    if isinstance(raw, list) and isinstance(first, int):
        return [_replaced(one, rest, text) if at == first else one for at, one in enumerate(raw)]
    return _replaced(raw, rest, text) if rest else raw
