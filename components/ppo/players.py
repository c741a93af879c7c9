"""The four roles of PPO: as four models, or as adapters and heads on one frozen backbone."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spavl.alignment.engines import Engines, attend_by_chains, choose_engines
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

    All share one vision tower, which nothing trains, and so the features of every picture.
    """

    policy: Role
    reference: Role
    reward: Role
    value: Role
    processor: Any
    pictures: Pictures
    engines: Engines

    @property
    def weights(self) -> dict[str, Weights]:
        """What PPO trains, by role."""
        return {"policy": self.policy.weights, "value": self.value.weights}

    @property
    def models(self) -> dict[str, Any]:
        """Every role's model."""
        roles = ("policy", "reference", "reward", "value")
        return {role: getattr(self, role).model for role in roles}


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
    """Load the four roles.

    Args:
        settings: Precision, adapters, engine.
        places: Where the models are.
        say: Told why rows are not packed although they should be.

    Raises:
        InputError: If the reward model does not stand on the base, or holds no adapter where one
            is needed.
    """
    precision = Precision(settings.dtype, settings.device)
    policy, processor = load_policy(places.base, precision=precision)
    cast = _one_backbone if settings.use_peft else _four_models
    roles = cast(settings, places, policy, processor)
    pictures = Pictures(policy, processor, ImageStore(places.images), settings.picture_cache_mib)
    pad = pad_token_id(processor.tokenizer)
    with evaluating(policy):
        engines = choose_engines(policy, pictures, pad, settings, say)
    if engines.name == "packed":
        for role in roles.values():
            attend_by_chains(role.model)
    return Players(**roles, processor=processor, pictures=pictures, engines=engines)


def _four_models(
    settings: PpoSettings, places: ModelPlaces, policy: Any, processor: Any
) -> dict[str, Role]:
    precision = Precision(settings.dtype, settings.device)
    reference, _ = load_policy(places.base, precision=precision)
    # A head drawn at random would reward chance for as long as PPO takes.
    reward, reward_processor = load_reward_model(
        places.reward_model, precision=precision, fresh_head=False
    )
    value, _ = load_reward_model(places.reward_model, precision=precision, fresh_head=False)
    _require_same_words(processor, reward_processor, places.reward_model)
    if not same_tower(policy, reward):
        raise _another_base("vision tower", places.reward_model)
    if hasattr(policy.model, "vision_tower"):
        for model in (reference, reward, value):
            model.model.vision_tower = policy.model.vision_tower
    for frozen in (reference, reward):
        frozen.requires_grad_(False)
    for trained in (policy, value):
        prepare_for_training(trained, settings)
    return {
        "policy": Role(policy, weights=trainable_weights(policy)),
        "reference": Role(reference),
        "reward": Role(reward),
        "value": Role(value, weights=trainable_weights(value)),
    }


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
    adapters.load("value", folder)  # the value model starts as the reward model
    heads = {name: head_on(policy, saved_head(folder)) for name in ("reward", "value")}
    heads["value"].score.requires_grad_(True)
    prepare_for_training(policy, settings)
    values = {**adapters.weights("value"), "score.weight": heads["value"].score.weight}
    return {
        "policy": Role(policy, adapters, "policy", adapters.weights("policy")),
        "reference": Role(policy, adapters, None),
        "reward": Role(heads["reward"], adapters, "reward"),
        "value": Role(heads["value"], adapters, "value", values),
    }


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
