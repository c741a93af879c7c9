"""Every setting by its key: what kind of value it takes, its default, what it means."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from components.configuration.stages import SHARED_KEYS
from components.configuration.values import value_text
from spavl.settings.common import StageSettings
from spavl.settings.messages import models_within

KINDS = {bool: "true or false", int: "whole number", float: "number", str: "text"}


@dataclass(frozen=True)
class SettingField:
    """One setting.

    Attributes:
        key: Its key with the stage's name in front; `*` stands for every item of a list.
        kind: What it takes, e.g. `number above 0`.
        default: Its default as YAML; empty where it must be given.
        description: What it means.
        choices: All values it may have, where they are few.
    """

    key: str
    kind: str
    default: str
    description: str
    choices: tuple[str, ...]


def setting_fields(
    model: type[BaseModel], key: str, default: BaseModel | None = None, unions: bool = True
) -> Iterator[SettingField]:
    """All settings of a model, those of nested models included.

    Args:
        model: A model of settings.
        key: Its key, e.g. `dpo`.
        default: Values of the model where it is another's default.
        unions: Whether to give the settings of every model that may stand in a place, or none of
            them, but the place itself.
    """
    for name, field in own_fields(model, nested=default is not None):
        place = f"{key}.{name}".lstrip(".")
        value = field.get_default() if default is None else getattr(default, name)
        models = models_within(field.annotation)
        if not models or (len(models) > 1 and not unions):
            yield _setting_field(place, field, value)
        is_list = get_origin(field.annotation) is tuple
        for held in models if unions or len(models) == 1 else ():
            below = f"{place}.*" if is_list else place
            given = value if isinstance(value, held) else None
            yield from setting_fields(held, below, given, unions)


def own_fields(model: type[BaseModel], nested: bool) -> Iterator[tuple[str, FieldInfo]]:
    """A model's fields; a stage nested in another has the other's seed and threads."""
    hidden = SHARED_KEYS if nested and issubclass(model, StageSettings) else ()
    return ((name, field) for name, field in model.model_fields.items() if name not in hidden)


def _setting_field(key: str, field: FieldInfo, default: Any) -> SettingField:
    return SettingField(
        key,
        _kind(field),
        "" if field.is_required() else value_text(default),
        field.description or "",
        _choices(field.annotation),
    )


def _kind(field: FieldInfo) -> str:
    annotation = _without_none(field.annotation)
    optional = ", or null" if annotation is not field.annotation else ""
    if len(models_within(annotation)) > 1:
        return "[chat model](#chat-models)"
    if choices := _choices(annotation):
        return " or ".join(f"`{choice}`" for choice in choices) + optional
    if get_origin(annotation) is tuple:
        held = get_args(annotation)[0]
        many = [f"`{choice}`" for choice in _choices(held)]
        return f"list of {' and '.join(many) or KINDS[held] + 's'}{optional}"
    return f"{KINDS[annotation]}{_limits(field)}{optional}"


def _limits(field: FieldInfo) -> str:
    words = []
    for limit in field.metadata:
        match limit:
            case Gt(gt=bound):
                words.append(f"above {bound:,}")
            case Ge(ge=bound):
                words.append(f"{bound:,} or above")
            case Lt(lt=bound):
                words.append(f"below {bound:,}")
            case Le(le=bound):
                words.append(f"{bound:,} or below")
            case MinLen(min_length=length):
                words.append(f"of {length} or more characters")
    return " " + ", ".join(words) if words else ""


def _choices(annotation: Any) -> tuple[str, ...]:
    held = _without_none(annotation)
    if held is bool:
        return ("true", "false")
    return tuple(map(str, get_args(held))) if get_origin(held) is Literal else ()


def _without_none(annotation: Any) -> Any:
    parts = get_args(annotation)
    if type(None) not in parts:
        return annotation
    (held,) = (part for part in parts if part is not type(None))
    return held
