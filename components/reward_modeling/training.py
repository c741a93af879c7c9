"""The reward model's training: pairwise Bradley-Terry loss on rewards at the last answer token."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from spavl.alignment.engines import Engines, choose_engines
from spavl.alignment.loop import Trainer, evaluating, prepare_for_training, trainable_weights
from spavl.alignment.losses import PairwiseLoss, ranking_loss, reward_loss
from spavl.alignment.outputs import Trained, save_trained
from spavl.alignment.pair_training import (
    EpochSteps,
    accumulate,
    pair_figures,
    read_pairs,
    score_pairs,
)
from spavl.alignment.rankings import RankedRows, as_lists, rankings
from spavl.alignment.rewards import RewardScorer
from spavl.alignment.rows import PairRows, Tokeniser
from spavl.images import ImageStore
from spavl.models.adapters import adapted
from spavl.models.generation import pad_token_id
from spavl.models.load import Precision, load_reward_model
from spavl.models.pictures import Pictures
from spavl.seeds import derive_seed, seed_everything
from spavl.settings.reward_modeling import RewardModelingSettings
from spavl.work import Work

ADAPTER = "reward"
EVALUATION_PASS = 4  # a pass without gradient takes this many times the pairs of one with


def train_reward_model(
    work: Work,
    settings: RewardModelingSettings,
    splits: Mapping[str, str],
    images: str,
    base: str,
) -> dict[str, Any]:
    """Train, tell the figures on held-out pairs, save.

    Args:
        work: The stage's work; the model is left in its folder `model`.
        settings: How to train.
        splits: Data set folders of `train`, `validation` and `test`.
        images: The image store.
        base: The base model's folder, on this machine.

    Returns:
        The figures of `metrics.json`.
    """
    # The head is drawn at random: its seed is apart from everything else's.
    seed_everything(derive_seed(settings.seed, "reward head"), settings.threads)
    model, processor = load_reward_model(base, precision=Precision(settings.dtype, settings.device))
    adapters = adapted(model, settings, ADAPTER)
    model.score.requires_grad_(True)
    prepare_for_training(model, settings)
    pictures = Pictures(model, processor, ImageStore(images), settings.picture_cache_mib)
    data = read_pairs(
        Tokeniser(processor, pictures, settings.max_length), splits, settings.overlong
    )
    with evaluating(model):
        engines = choose_engines(
            model, pictures, pad_token_id(processor.tokenizer), settings, work.note
        )
    _train(work, settings, model, engines, data.splits)
    figures = {
        split: _figures(settings, model, engines, data.splits[split])
        for split in ("validation", "test")
    }
    metrics = {
        "pair_accuracy": figures["test"]["pair_accuracy"],
        **figures,
        "dropped": data.dropped,
        "engine": engines.told,
        "pairs": {split: len(pairs) for split, pairs in data.splits.items()},
    }
    digest = save_trained(work, Trained(model, processor, adapters, ADAPTER), metrics)
    return {**metrics, "digest": digest}


def _train(
    work: Work,
    settings: RewardModelingSettings,
    model: Any,
    engines: Engines,
    splits: Mapping[str, list[PairRows]],
) -> None:
    per_step = settings.batch_size * settings.gradient_accumulation_steps
    train = splits["train"] if settings.ranking == "pairwise" else rankings(splits["train"])
    steps = EpochSteps(
        train, per_step, settings.num_train_epochs, settings.seed, settings.whole_pictures
    )
    weights = {"model": trainable_weights(model)}
    trainer = Trainer(weights, settings, steps.total, work, models={"model": model})

    def pairwise(pairs: Sequence[PairRows]) -> PairwiseLoss:
        asked = asked_margins(pairs, settings.margin).to(model.device)
        return reward_loss(*pair_rewards(engines.rewards, model, pairs), asked)

    def listwise(lists: Sequence[RankedRows]) -> PairwiseLoss:
        rows = [row for ranking in lists for row in ranking.ranked]
        return ranking_loss(*as_lists(engines.rewards.rewards(model, rows), lists))

    loss_of: Any = pairwise if settings.ranking == "pairwise" else listwise

    def cut(pairs: Sequence[PairRows]) -> list[list[PairRows]]:
        return engines.training_passes(pairs, settings.batch_size)

    def step(number: int) -> dict[str, float]:
        metrics = accumulate(steps[number], cut, loss_of, partial(trainer.backward, model="model"))
        metrics |= trainer.update()
        metrics["epoch"] = (number + 1) * settings.num_train_epochs / steps.total
        if (number + 1) % settings.eval_steps == 0 and splits["validation"]:
            figures = _figures(settings, model, engines, splits["validation"])
            metrics["validation_loss"] = figures["loss"]
            metrics["validation_accuracy"] = figures["pair_accuracy"]["value"]
        return metrics

    trainer.run(step, steps.total, "steps")


def _figures(
    settings: RewardModelingSettings, model: Any, engines: Engines, pairs: list[PairRows]
) -> dict[str, Any]:
    with evaluating(model):
        rewards = score_pairs(
            pairs,
            engines.scoring_passes(pairs, settings.batch_size * EVALUATION_PASS),
            lambda batch: pair_rewards(engines.rewards, model, batch),
        )
    return pair_figures(pairs, rewards)


def pair_rewards(engine: RewardScorer, model: Any, pairs: Sequence[PairRows]) -> torch.Tensor:
    """Rewards of a batch: float `[2, pairs]`, chosen and rejected."""
    rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    return engine.rewards(model, rows).view(2, len(pairs))


def asked_margins(pairs: Sequence[PairRows], margin: float) -> torch.Tensor:
    """The margin where moderation finds the one answer safe and the other not: float `[pairs]`."""
    return torch.tensor(
        [margin * (pair.preference.chosen_safe != pair.preference.rejected_safe) for pair in pairs]
    )
