"""Merging a profile with overrides and checking the result, stage by stage."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from components.configuration.layers import Given, Tree, given, merge, origins, plain
from components.configuration.profiles import profile_layers
from components.configuration.stages import SHARED_KEYS, STAGES
from spavl.errors import InputError
from spavl.secrets import masked_tree
from spavl.settings.as_written import checked, read_yaml
from spavl.settings.base_model import BaseModelSettings
from spavl.settings.common import StageSettings
from spavl.settings.evaluation import EvaluationSettings
from spavl.settings.messages import one_line, problems, unknown_key
from spavl.shards import write_json

OVERRIDE = "--set"
"""Origin of values that an override gave."""


class Settings(NamedTuple):
    """Validated settings of every stage, as plain dicts, and how the responders are grouped.

    Attributes:
        responder_groups: Comma-joined responder ids; each group is answered by one task.
    """

    base_model: dict[str, Any]
    collection: dict[str, Any]
    questions: dict[str, Any]
    responses: dict[str, Any]
    labeling: dict[str, Any]
    reward_modeling: dict[str, Any]
    dpo: dict[str, Any]
    ppo: dict[str, Any]
    evaluation: dict[str, Any]
    gate: dict[str, Any]
    reporting: dict[str, Any]
    responder_groups: list[str]


@dataclass(frozen=True)
class Resolved:
    """Validated settings and who gave them.

    Attributes:
        stages: Settings by stage.
        origins: Who gave a value, by its key, e.g. `{"dpo.beta": "--set"}`; what is not here is a
            default.
    """

    stages: Mapping[str, StageSettings]
    origins: Mapping[str, str]


def resolve(profile: str, overrides: Iterable[str] = (), snapshot: str | None = None) -> Settings:
    """Settings of every stage.

    Args:
        profile: A profile's name, the path of a YAML file, or YAML.
        overrides: `stage.key=value` each, values in YAML; also `seed=...`, `threads=...` and
            `budget=...`, which go to every stage that does not set its own.
        snapshot: File that keeps all settings as JSON; none by default.

    Raises:
        InputError: Names the profile, key or value that is wrong.
    """
    resolved = resolve_with_origins(profile, overrides)
    # KFP's structs hold no null: optional settings default to None, so leaving it out is exact.
    stages = {
        name: settings.model_dump(mode="json", exclude_none=True)
        for name, settings in resolved.stages.items()
    }
    if snapshot:
        Path(snapshot).parent.mkdir(parents=True, exist_ok=True)
        write_json(Path(snapshot), masked_tree({"profile": profile, **stages}))
    return Settings(**stages, responder_groups=_groups(stages["responses"]))


def resolve_for_stages(profile: str, overrides: Iterable[str], snapshot: str) -> Settings:
    """The same, but of each stage only what differs from its defaults, as tasks pass it on.

    A stage fills in the rest. Written out, settings would stand six times a task in the status of a
    workflow, which has to stay small (docs/delivery.md).
    """
    whole = resolve(profile, overrides, snapshot)
    stages = {
        name: model.parse(getattr(whole, name), name).model_dump(mode="json", exclude_defaults=True)
        for name, model in STAGES.items()
    }
    return Settings(**stages, responder_groups=whole.responder_groups)


def resolve_with_origins(profile: str, overrides: Iterable[str] = ()) -> Resolved:
    """Settings of every stage, and where each value came from; see `resolve`."""
    tree: Tree = {}
    for layer in profile_layers(profile):
        tree = merge(tree, given(layer.tree, layer.origin))
    tree = merge(tree, given(_overrides(overrides), OVERRIDE))
    stages = _stages(tree)
    return Resolved(_fitting(_validate(plain(stages))), dict(origins(stages)))


def _overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """All overrides as one tree, so that their order matters only where they name the same key."""
    tree: dict[str, Any] = {}
    for override in overrides:
        _put(tree, override)
    return tree


def _put(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise InputError("an override without key and '='", override, "write it as stage.key=value")
    try:
        value = read_yaml(text)
    except yaml.YAMLError:
        raise InputError("a value that is no YAML", override, "quote it") from None
    node = tree
    for part in parts[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise InputError("a key below a plain value", override, f"{part} holds no keys")
    node[parts[-1]] = value


def _stages(tree: dict[str, Any]) -> dict[str, Any]:
    """Settings by stage, with those for all stages handed to each that has none of its own."""
    for name in tree:
        if name not in STAGES and name not in SHARED_KEYS:
            raise unknown_key("stage", name, (*STAGES, *SHARED_KEYS))
    shared = {key: tree[key] for key in SHARED_KEYS if key in tree}
    stages = {name: merge(dict(shared), tree.get(name, {}), name) for name in STAGES}
    _source_by_path(stages["base_model"])
    if "source" in stages["base_model"]:  # pocket figures promote pocket models only
        stages["gate"]["base_source"] = stages["base_model"]["source"]
    return stages


def _source_by_path(base: dict[str, Any]) -> None:
    """A model's folder says that the base is taken from there, unless both were said at once.

    Raises:
        InputError: One layer gives a folder and the pocket world as its source.
    """
    path, source = base.get("path"), base.get("source")
    if not isinstance(path, Given) or path.value is None:
        return
    if isinstance(source, Given) and source.value == "pocket" and source.origin == path.origin:
        raise InputError(
            "a model's folder beside the pocket world's model",
            "base_model.path",
            "set base_model.source to path, or leave the folder out",
        )
    base["source"] = Given("path", path.origin)


def _validate(raw: Mapping[str, Any]) -> dict[str, StageSettings]:
    stages, wrong = dict[str, StageSettings](), list[InputError]()
    for name, model in STAGES.items():
        try:
            stages[name] = checked(model, raw[name])
        except ValidationError as error:
            wrong += problems(model, error, raw[name], name)
    if wrong:
        raise one_line(wrong)
    return stages


def _fitting(stages: dict[str, StageSettings]) -> dict[str, StageSettings]:
    """The pocket suite is asked of pocket bases only: of another it would say nothing."""
    base, evaluation = stages["base_model"], stages["evaluation"]
    assert isinstance(base, BaseModelSettings)
    assert isinstance(evaluation, EvaluationSettings)
    if base.source == "pocket":
        return stages
    suites = tuple(suite for suite in evaluation.suites if suite != "pocket")
    if not suites:
        raise InputError(
            "the pocket suite alone for a base that is not pocket's",
            "evaluation.suites",
            "name published or held_out",
        )
    return {**stages, "evaluation": evaluation.model_copy(update={"suites": suites})}


def _groups(responses: Mapping[str, Any]) -> list[str]:
    """Responders dealt over the tasks in turn, so that tasks are of equal length."""
    ids = [responder["id"] for responder in responses["responders"]]
    tasks = min(int(responses["tasks"]), len(ids))
    return [",".join(ids[start::tasks]) for start in range(tasks)]
