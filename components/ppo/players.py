"""The four models of PPO and what they say of rows."""

from dataclasses import dataclass
from typing import Any

from spavl.alignment.logprobs import LogProbEngine, PlainEngine
from spavl.alignment.loop import prepare_for_training
from spavl.alignment.rewards import RewardEngine
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.models.generation import pad_token_id
from spavl.models.load import Precision, load_policy, load_reward_model
from spavl.models.pictures import Pictures, same_tower
from spavl.settings.ppo import PpoSettings


@dataclass(frozen=True)
class Players:
    """Policy and value model are trained; reference and reward model are frozen.

    All share one vision tower, which nothing trains.
    """

    policy: Any
    reference: Any
    reward: Any
    value: Any
    processor: Any
    pictures: Pictures
    log_probs: LogProbEngine
    rewards: RewardEngine


def load_players(settings: PpoSettings, images: str, base: str, reward_model: str) -> Players:
    """Load policy and reference from the base, reward and value model from the reward model.

    Raises:
        InputError: If the reward model does not stand on the base.
    """
    precision = Precision(settings.dtype, settings.device)
    policy, processor = load_policy(base, precision=precision)
    reference, _ = load_policy(base, precision=precision)
    reward, reward_processor = load_reward_model(reward_model, precision=precision)
    value, _ = load_reward_model(reward_model, precision=precision)
    _require_one_base(policy, processor, reward, reward_processor, reward_model)
    for model in (reference, reward, value):
        model.model.vision_tower = policy.model.vision_tower
    for frozen in (reference, reward):
        frozen.requires_grad_(False)
    for trained in (policy, value):
        prepare_for_training(trained, settings)
    pictures = Pictures(policy, processor, ImageStore(images), settings.picture_cache_mib)
    pad = pad_token_id(processor.tokenizer)
    engines = PlainEngine(pictures, pad), RewardEngine(pictures, pad)
    return Players(policy, reference, reward, value, processor, pictures, *engines)


def _require_one_base(
    policy: Any, processor: Any, reward: Any, reward_processor: Any, where: str
) -> None:
    same_words = processor.tokenizer.get_vocab() == reward_processor.tokenizer.get_vocab()
    if not (same_words and same_tower(policy, reward)):
        raise InputError(
            "the reward model has another tokenizer or vision tower than the base",
            where,
            "train it from the same base model",
        )
