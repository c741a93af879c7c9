"""Resolved settings for people: every value, where it came from, what it means."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from components.configuration.fields import own_fields
from components.configuration.resolve import Resolved
from spavl.errors import InputError
from spavl.secrets import masked_tree
from spavl.settings.messages import unknown_key

DEFAULT = "default"


@dataclass(frozen=True)
class ShownSetting:
    """One resolved setting.

    Attributes:
        key: Its key with the stage's name in front; items of lists are named by their id.
        value: Its value, as JSON has it.
        origin: `default`, `profile NAME`, the path of the user's profile, or `--set`.
        description: What it means.
    """

    key: str
    value: Any
    origin: str
    description: str


def shown_settings(resolved: Resolved, wanted: tuple[str, ...] = ()) -> list[ShownSetting]:
    """Every setting in the order of the DAG.

    Args:
        resolved: The settings and who gave them.
        wanted: Stages or keys to show, e.g. `dpo` or `labeling.pairing`; all if empty.

    Raises:
        InputError: Nothing lies under a wanted key.
    """
    found = [
        shown
        for stage, settings in resolved.stages.items()
        for shown in _below(settings, stage, resolved.origins, nested=False)
    ]
    for key in wanted:
        if not any(_lies_under(shown.key, key) for shown in found):
            raise _no_such(key, found)
    return [one for one in found if not wanted or any(_lies_under(one.key, k) for k in wanted)]


def _below(
    settings: BaseModel, key: str, origins: Mapping[str, str], nested: bool
) -> Iterator[ShownSetting]:
    dumped = settings.model_dump(mode="json")
    for name, field in own_fields(type(settings), nested):
        place, value = f"{key}.{name}", getattr(settings, name)
        items = value if isinstance(value, tuple) else ()
        models = [(str(getattr(item, "id", number)), item) for number, item in enumerate(items)]
        if isinstance(value, BaseModel):
            yield from _below(value, place, origins, nested=True)
        elif models and isinstance(models[0][1], BaseModel):
            for item, model in models:
                yield from _below(model, f"{place}.{item}", origins, nested=True)
        else:
            origin = origins.get(place, DEFAULT)
            yield ShownSetting(place, masked_tree(dumped[name]), origin, field.description or "")


def _lies_under(key: str, wanted: str) -> bool:
    return f"{key}.".startswith(f"{wanted}.")


def _no_such(key: str, found: list[ShownSetting]) -> InputError:
    known = {shown.key for shown in found}
    for shown in found:
        parts = shown.key.split(".")
        known |= {".".join(parts[:depth]) for depth in range(1, len(parts))}
    stages = {name for name in known if "." not in name}
    return unknown_key("setting", key, known if "." in key else stages)
