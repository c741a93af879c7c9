"""Merging a profile with overrides and checking the result, stage by stage."""

import difflib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from spavl.errors import InputError
from spavl.settings.base_model import BaseModelSettings
from spavl.settings.collection import CollectionSettings
from spavl.settings.common import StageSettings
from spavl.settings.dpo import DpoSettings
from spavl.settings.evaluation import EvaluationSettings
from spavl.settings.gate import GateSettings
from spavl.settings.labeling import LabelingSettings
from spavl.settings.ppo import PpoSettings
from spavl.settings.questions import QuestionsSettings
from spavl.settings.reporting import ReportingSettings
from spavl.settings.responses import ResponsesSettings
from spavl.settings.reward_modeling import RewardModelingSettings
from spavl.shards import write_json

STAGES: Mapping[str, type[StageSettings]] = {
    "base_model": BaseModelSettings,
    "collection": CollectionSettings,
    "questions": QuestionsSettings,
    "responses": ResponsesSettings,
    "labeling": LabelingSettings,
    "reward_modeling": RewardModelingSettings,
    "dpo": DpoSettings,
    "ppo": PpoSettings,
    "evaluation": EvaluationSettings,
    "gate": GateSettings,
    "reporting": ReportingSettings,
}
SHARED_KEYS = ("seed", "threads")


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


def profile_names() -> list[str]:
    """Names of the profiles that ship with the project."""
    folder = resources.files("components.configuration") / "profiles"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir())


def resolve(profile: str, overrides: Iterable[str] = (), snapshot: str | None = None) -> Settings:
    """Settings of every stage.

    Args:
        profile: Name of a profile.
        overrides: `stage.key=value` each, values in YAML; also `seed=...` and `threads=...`, which
            go to every stage that does not set its own.
        snapshot: File that keeps all settings as JSON; none by default.

    Raises:
        InputError: Names the profile, key or value that is wrong.
    """
    tree = _load_profile(profile)
    for override in overrides:
        _apply(tree, override)
    shared = {key: tree.pop(key) for key in SHARED_KEYS if key in tree}
    unknown = sorted(set(tree) - set(STAGES))
    if unknown:
        raise _unknown_key("stage", unknown[0], STAGES)
    stages = {
        name: _validate(name, model, {**shared, **(tree.get(name) or {})})
        for name, model in STAGES.items()
    }
    if snapshot:
        Path(snapshot).parent.mkdir(parents=True, exist_ok=True)
        write_json(Path(snapshot), {"profile": profile, **stages})
    return Settings(**stages, responder_groups=_groups(stages["responses"]))


def _load_profile(profile: str) -> dict[str, Any]:
    if profile not in profile_names():
        raise _unknown_key("profile", profile, profile_names())
    path = resources.files("components.configuration") / "profiles" / f"{profile}.yaml"
    tree: dict[str, Any] = yaml.safe_load(path.read_text())
    return tree


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError("an override without '='", override, "write it as stage.key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError("a value that is no YAML", override, "quote it") from None
    *path, last = key.strip().split(".")
    node = tree
    for part in path:
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            raise InputError("a key below a plain value", override, f"{part} holds no keys")
        node = child
    node[last] = value


def _validate(name: str, model: type[StageSettings], raw: dict[str, Any]) -> dict[str, Any]:
    for key in raw:
        if key not in model.model_fields:
            raise _unknown_key("setting", key, model.model_fields, f"{name}.")
    # KFP's structs hold no null: optional settings default to None, so leaving it out is exact.
    return model.parse(raw, name).model_dump(mode="json", exclude_none=True)


def _unknown_key(kind: str, name: str, known: Iterable[str], prefix: str = "") -> InputError:
    near = difflib.get_close_matches(name, list(known), n=1)
    remedy = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(sorted(known))}"
    return InputError(f"unknown {kind}", f"{prefix}{name}", remedy)


def _groups(responses: Mapping[str, Any]) -> list[str]:
    """Responders dealt over the tasks in turn, so that tasks are of equal length."""
    ids = [responder["id"] for responder in responses["responders"]]
    tasks = min(int(responses["tasks"]), len(ids))
    return [",".join(ids[start::tasks]) for start in range(tasks)]
