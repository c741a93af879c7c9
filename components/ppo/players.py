"""The roles of PPO: as models of their own, or as adapters and heads on one frozen backbone."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spavl.alignment.engines import Engines, attend_alike, choose_engines
from spavl.alignment.loop import evaluating, prepare_for_training, trainable_weights
from spavl.alignment.optimizer import Weights
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.models.adapters import ADAPTER_FOLDER, AdaptedModel, AdapterShape, head_on, saved_head
from spavl.models.generation import pad_token_id
from spavl.models.load import Precision, load_policy, load_processor, load_reward_model
from spavl.models.pictures import Pictures, same_tower
from spavl.models.saving import MODEL_FILE
from spavl.settings.ppo import PpoSettings


@dataclass(frozen=True)
class Role:
    """One of the four.

    Attributes:
        model: A policy or reward model; in LoRA mode its backbone is every role's.
        adapters: The backbone's adapters; None where the role has a model of its own.
        adapter: The role's adapter; None is the base alone, the reference.
        weights: What PPO trains of it.
    """

    model: Any
    adapters: AdaptedModel | None = None
    adapter: str | None = None
    weights: Weights = field(default_factory=dict)

    def active(self) -> AbstractContextManager[None]:
        """Within the block the model speaks in this role; losses go back through it inside."""
        return nullcontext() if self.adapters is None else self.adapters.using(self.adapter)


@dataclass(frozen=True)
class Players:
    """Policy and value model are trained; reference and reward model are frozen.

    All share one vision tower, which nothing trains, and so the features of every picture. Where a
    prompt's answers are held against each other there is no value model.
    """

    policy: Role
    reference: Role
    reward: Role
    processor: Any
    pictures: Pictures
    engines: Engines
    value: Role | None = None

    @property
    def weights(self) -> dict[str, Weights]:
        """What PPO trains, by role."""
        value = {} if self.value is None else {"value": self.value.weights}
        return {"policy": self.policy.weights, **value}

    @property
    def trained(self) -> list[Any]:
        """The models that are trained."""
        return [self.models[role] for role in self.weights]

    @property
    def models(self) -> dict[str, Any]:
        """Every role's model."""
        names = ("policy", "reference", "reward", "value")
        roles = {name: getattr(self, name) for name in names}
        return {name: role.model for name, role in roles.items() if role is not None}


@dataclass(frozen=True)
class ModelPlaces:
    """Where the players come from.

    Attributes:
        images: The image store.
        base: The base model's folder; policy and reference start there.
        reward_model: The trained reward model's folder; reward and value start there.
        base_digest: The base's digest, which a reward model's adapter must name; empty if unknown.
    """

    images: str
    base: str
    reward_model: str
    base_digest: str = ""


def load_players(
    settings: PpoSettings, places: ModelPlaces, say: Callable[[str], None] = print
) -> Players:
    """Load the roles.

    Args:
        settings: Precision, adapters, engine.
        places: Where the models are.
        say: Told why rows are not packed although they should be, or how they attend.

    Raises:
        InputError: If the reward model does not stand on the base, or holds no adapter where one
            is needed.
    """
    precision = Precision(settings.dtype, settings.device)
    policy, processor = load_policy(places.base, precision=precision)
    cast = _one_backbone if settings.use_peft else _own_models
    roles = cast(settings, places, policy, processor)
    pictures = Pictures(policy, processor, ImageStore(places.images), settings.picture_cache_mib)
    pad = pad_token_id(processor.tokenizer)
    with evaluating(policy):
        engines = choose_engines(policy, pictures, pad, settings, say)
    if engines.name == "packed":
        for role in roles.values():
            attend_alike(role.model, policy)
    return Players(**roles, processor=processor, pictures=pictures, engines=engines)


def _own_models(
    settings: PpoSettings, places: ModelPlaces, policy: Any, processor: Any
) -> dict[str, Role]:
    precision = Precision(settings.dtype, settings.device)
    reference, _ = load_policy(places.base, precision=precision)
    # A head drawn at random would reward chance for as long as PPO takes.
    reward, reward_processor = load_reward_model(
        places.reward_model, precision=precision, fresh_head=False
    )
    _require_same_words(processor, reward_processor, places.reward_model)
    if not same_tower(policy, reward):
        raise _another_base("vision tower", places.reward_model)
    models = {"policy": policy, "reference": reference, "reward": reward}
    if settings.advantage == "gae":
        models["value"], _ = load_reward_model(
            places.reward_model, precision=precision, fresh_head=False
        )
    if hasattr(policy.model, "vision_tower"):
        for model in models.values():
            model.model.vision_tower = policy.model.vision_tower
    return {name: _role(name, model, settings) for name, model in models.items()}


def _role(name: str, model: Any, settings: PpoSettings) -> Role:
    if name in ("reference", "reward"):
        model.requires_grad_(False)
        return Role(model)
    prepare_for_training(model, settings)
    return Role(model, weights=trainable_weights(model))


def _one_backbone(
    settings: PpoSettings, places: ModelPlaces, policy: Any, processor: Any
) -> dict[str, Role]:
    folder = Path(places.reward_model) / ADAPTER_FOLDER
    if not folder.is_dir():
        raise InputError(
            "the reward model was trained whole, so it shares no backbone",
            places.reward_model,
            "train it with use_peft, or PPO without",
        )
    _require_same_words(processor, load_processor(places.reward_model), places.reward_model)
    _require_base(places)
    adapters = AdaptedModel(policy)
    adapters.add("policy", AdapterShape.of(settings))
    adapters.load("reward", folder)
    roles = {
        "policy": Role(policy, adapters, "policy", adapters.weights("policy")),
        "reference": Role(policy, adapters, None),
        "reward": Role(head_on(policy, saved_head(folder)), adapters, "reward"),
    }
    if settings.advantage == "gae":
        adapters.load("value", folder)  # the value model starts as the reward model
        valuing = head_on(policy, saved_head(folder))
        valuing.score.requires_grad_(True)
        values = {**adapters.weights("value"), "score.weight": valuing.score.weight}
        roles["value"] = Role(valuing, adapters, "value", values)
    prepare_for_training(policy, settings)
    return roles


def _require_base(places: ModelPlaces) -> None:
    """An adapter only fits the base that it was trained on, though another's shapes may agree."""
    path = Path(places.reward_model) / MODEL_FILE
    made_by: Mapping[str, Any] = json.loads(path.read_text())["made_by"] if path.exists() else {}
    stood_on = made_by.get("inputs", {}).get("base")
    if places.base_digest and stood_on and stood_on != places.base_digest:
        raise _another_base("base", places.reward_model)


def _require_same_words(processor: Any, other: Any, where: str) -> None:
    if processor.tokenizer.get_vocab() != other.tokenizer.get_vocab():
        raise _another_base("tokenizer", where)


def _another_base(what: str, where: str) -> InputError:
    return InputError(
        f"the reward model has another {what} than the base",
        where,
        "train it from the same base model",
    )
