"""What pydantic finds wrong with settings, as one line that a person understands."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from spavl.errors import InputError

EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "keys with values",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "above {gt}",
    "greater_than_equal": "{ge} or above",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "less_than": "below {lt}",
    "less_than_equal": "{le} or below",
    "literal_error": "{expected}",
    "model_attributes_type": "keys with values",
    "model_type": "keys with values",
    "string_pattern_mismatch": "of the form {pattern}",
    "string_too_short": "{min_length} characters or longer",
    "string_type": "a text",
    "too_short": "a list of {min_length} or more",
    "tuple_type": "a list",
}
"""What pydantic's error types ask for; types that are not here keep pydantic's own words."""


def problems(
    model: type[BaseModel], error: ValidationError, raw: Any, where: str
) -> list[InputError]:
    """All errors of a validation, unknown keys first: a mistyped key explains a missing one.

    Args:
        model: The model that refused the settings.
        error: What it found.
        raw: The refused settings.
        where: The stage's key, e.g. `dpo`.
    """
    found = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    return [_problem(model, dict(one), raw, where) for one in found]


def one_line(found: Sequence[InputError]) -> InputError:
    """The first of several errors, which names the places of the others."""
    first, *others = found
    if not others:
        return first
    places = ", ".join(other.where for other in others[:3]) + (", ..." if others[3:] else "")
    more = f"{first.remedy} (and {len(others)} more: {places})"
    return InputError(first.what, first.where, more)


def unknown_key(kind: str, name: str, known: Iterable[str], prefix: str = "") -> InputError:
    """An unknown name, with the nearest known one, or all of them where none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    remedy = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(names) or 'none'}"
    return InputError(f"unknown {kind}", f"{prefix}{name}", remedy)


def models_within(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation holds, looking into unions and tuples."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_within(part)]


def _problem(model: type[BaseModel], error: dict[str, Any], raw: Any, where: str) -> InputError:
    models, path = _follow(model, error["loc"], raw)
    key = ".".join((where, *path))
    match error["type"]:
        case "extra_forbidden":
            known = {name for held in models for name in held.model_fields}
            return unknown_key("setting", path[-1], known, key.removesuffix(path[-1]))
        case "missing" | "union_tag_not_found":
            name = error.get("ctx", {}).get("discriminator", "").strip("'")
            return InputError("missing setting", f"{key}.{name}".rstrip("."), "give it a value")
        case "value_error":
            return InputError(str(error["ctx"]["error"]), key, "correct these settings")
        case "union_tag_invalid":
            tag, name = error["ctx"]["tag"], error["ctx"]["discriminator"].strip("'")
            known = error["ctx"]["expected_tags"]
            return InputError(f"{tag!r} is not one of {known}", f"{key}.{name}", "choose one")
    if expected := EXPECTED.get(error["type"]):
        wanted = expected.format(**{name: _whole(v) for name, v in error.get("ctx", {}).items()})
        return InputError(f"{_shown(error['input'])} is not {wanted}", key, "correct this setting")
    return InputError(f"{error['msg']}: {_shown(error['input'])}", key, "correct this setting")


def _follow(
    model: type[BaseModel], location: tuple[int | str, ...], raw: Any
) -> tuple[list[type[BaseModel]], list[str]]:
    """The models that hold a location's last key, and the location as its user writes it.

    Items of lists are named by their id; the tags that pydantic adds for unions are left out.
    """
    models, path = [model], list[str]()
    for number, part in enumerate(location):
        fields = [held.model_fields[part] for held in models if part in held.model_fields]
        last = number == len(location) - 1
        if isinstance(part, str) and not fields and not last:
            models = [held for held in models if _is_tagged(held, part)]
            continue
        raw = _child(raw, part)
        named = isinstance(part, int) and isinstance(raw, Mapping) and "id" in raw
        path.append(str(raw["id"]) if named else str(part))
        if fields and not last:
            models = [held for field in fields for held in models_within(field.annotation)]
    return models, path


def _is_tagged(model: type[BaseModel], tag: str) -> bool:
    return any(tag in get_args(field.annotation) for field in model.model_fields.values())


def _child(raw: Any, part: int | str) -> Any:
    try:
        return raw[part]
    except (KeyError, IndexError, TypeError):
        return None


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
