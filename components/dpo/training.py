"""DPO's training: the reference is a table of numbers, made before training begins."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from components.dpo.reference import ReferenceLogProbs, answers, reference_log_probs
from spavl.alignment.contrast import contrasted
from spavl.alignment.engines import Engines, choose_engines
from spavl.alignment.kept_log_probs import KeptLogProbs
from spavl.alignment.logprobs import LogProbEngine
from spavl.alignment.loop import Trainer, evaluating, prepare_for_training, trainable_weights
from spavl.alignment.losses import (
    DpoObjective,
    PairwiseLoss,
    anchor_loss,
    dpo_loss,
    implicit_rewards,
    picture_loss,
    sft_loss,
)
from spavl.alignment.outputs import Trained, save_trained
from spavl.alignment.pair_training import (
    EpochSteps,
    PairData,
    accumulate,
    pair_figures,
    read_pairs,
    score_pairs,
)
from spavl.alignment.rows import PairRows, Tokenised, Tokeniser
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.models.adapters import adapted, base_alone
from spavl.models.generation import pad_token_id
from spavl.models.load import Precision, load_policy
from spavl.models.pictures import Pictures
from spavl.seeds import seed_everything
from spavl.settings.dpo import DpoSettings
from spavl.work import Work

ADAPTER = "policy"


def train_policy(
    work: Work, settings: DpoSettings, splits: Mapping[str, str], images: str, base: str
) -> dict[str, Any]:
    """Compute reference log-probs, train, tell the figures, save.

    Args:
        work: The stage's work; the model is left in its folder `model`.
        settings: How to train.
        splits: Data set folders of `train` and `validation`.
        images: The image store.
        base: The base model's folder, on this machine.

    Returns:
        The figures of `metrics.json`.
    """
    seed_everything(settings.seed, settings.threads)
    policy, processor = load_policy(base, precision=Precision(settings.dtype, settings.device))
    adapters = adapted(policy, settings, ADAPTER)
    prepare_for_training(policy, settings)
    pictures = Pictures(policy, processor, ImageStore(images), settings.picture_cache_mib)
    tokeniser = Tokeniser(processor, pictures, settings.max_length)
    data = read_pairs(tokeniser, splits, settings.overlong)
    if settings.picture_weight:
        data = _contrasted(data, tokeniser, settings.seed)
    every = [pair for pairs in data.splits.values() for pair in pairs]
    with evaluating(policy), base_alone(adapters):
        engines = choose_engines(
            policy, pictures, pad_token_id(processor.tokenizer), settings, work.note
        )
        reference, computed = reference_log_probs(
            KeptLogProbs(work.stage.inputs["base"], settings.dtype, pictures.settings()),
            engines.scoring_passes(every, settings.reference_batch_size),
            lambda pairs: pair_log_probs(engines.log_probs, policy, pairs),
        )
    work.note(f"reference log-probs: {computed} pairs computed, {len(every) - computed} kept")
    run = _Run(settings, policy, engines, reference)
    _train(work, run, data.splits)
    validation = data.splits["validation"]
    metrics = {
        "validation": run.figures(validation),
        "dropped": data.dropped,
        "engine": engines.told,
        "pairs": {split: len(pairs) for split, pairs in data.splits.items()},
    }
    digest = save_trained(work, Trained(policy, processor, adapters, ADAPTER), metrics)
    return {**metrics, "digest": digest}


def _contrasted(data: PairData, tokeniser: Tokeniser, seed: int) -> PairData:
    parts = {
        split: contrasted(Tokenised(pairs, data.dropped[split]), tokeniser, seed)
        for split, pairs in data.splits.items()
    }
    if not parts["train"].pairs:
        raise InputError(
            f"no usable pair: dropped {parts['train'].dropped}",
            "dpo.picture_weight",
            "give preferences on more than one picture, or set picture_weight to 0",
        )
    return PairData(
        {split: part.pairs for split, part in parts.items()},
        {split: part.dropped for split, part in parts.items()},
    )


class _Run:
    """A policy with its reference's log-probs: losses and implicit rewards of pairs."""

    def __init__(
        self,
        settings: DpoSettings,
        policy: Any,
        engines: Engines,
        reference: ReferenceLogProbs,
    ) -> None:
        self.settings = settings
        self.policy = policy
        self.engines = engines
        self._reference = reference
        self._objective = DpoObjective(settings.loss_type, settings.beta, settings.label_smoothing)

    def loss(self, pairs: Sequence[PairRows]) -> PairwiseLoss:
        """DPO's loss of a batch, and the chosen answers' likelihood where that has a weight."""
        log_probs = pair_log_probs(self.engines.log_probs, self.policy, pairs)
        found = self.loss_of(self._rewards_of(log_probs, pairs))
        weight = self.settings.sft_weight
        if not weight:
            return found
        lengths = answer_lengths(pairs).to(log_probs.device)
        return replace(found, loss=found.loss + weight * sft_loss(log_probs[0], lengths[0]))

    def loss_of(self, rewards: torch.Tensor) -> PairwiseLoss:
        """DPO's loss of implicit rewards, with mDPO's terms where they have a weight."""
        found = dpo_loss(rewards, self._objective)
        loss = found.loss
        if self.settings.picture_weight:
            loss = loss + self.settings.picture_weight * picture_loss(rewards)
        if self.settings.anchor_weight:
            loss = loss + self.settings.anchor_weight * anchor_loss(rewards)
        return replace(found, loss=loss)

    def figures(self, pairs: Sequence[PairRows]) -> dict[str, Any]:
        """Figures of the implicit rewards of held-out pairs."""
        with evaluating(self.policy):
            passes = self.engines.scoring_passes(pairs, self.settings.reference_batch_size)
            scores = 3 if self.settings.picture_weight else 2
            rewards = score_pairs(pairs, passes, self._rewards, scores)
        return pair_figures(pairs, rewards, self.loss_of)

    def _rewards(self, pairs: Sequence[PairRows]) -> torch.Tensor:
        """Implicit rewards of a batch: float `[rows, pairs]`, as `answers` orders them."""
        return self._rewards_of(pair_log_probs(self.engines.log_probs, self.policy, pairs), pairs)

    def _rewards_of(self, log_probs: torch.Tensor, pairs: Sequence[PairRows]) -> torch.Tensor:
        reference = self._reference.of(pairs).to(log_probs.device)
        lengths = answer_lengths(pairs).to(log_probs.device)
        return implicit_rewards(log_probs, reference, lengths, self._objective)


def _train(work: Work, run: _Run, splits: Mapping[str, list[PairRows]]) -> None:
    settings = run.settings
    per_step = settings.batch_size * settings.gradient_accumulation_steps
    steps = EpochSteps(
        splits["train"], per_step, settings.num_train_epochs, settings.seed, settings.whole_pictures
    )
    weights = {ADAPTER: trainable_weights(run.policy)}
    trainer = Trainer(weights, settings, steps.total, work, models={ADAPTER: run.policy})

    def cut(pairs: Sequence[PairRows]) -> list[list[PairRows]]:
        return run.engines.training_passes(pairs, settings.batch_size)

    def step(number: int) -> dict[str, float]:
        metrics = accumulate(steps[number], cut, run.loss, partial(trainer.backward, model=ADAPTER))
        metrics |= trainer.update()
        metrics["epoch"] = (number + 1) * settings.num_train_epochs / steps.total
        if (number + 1) % settings.eval_steps == 0 and splits["validation"]:
            figures = run.figures(splits["validation"])
            metrics["validation_loss"] = figures["loss"]
            metrics["validation_accuracy"] = figures["pair_accuracy"]["value"]
        return metrics

    trainer.run(step, steps.total, "steps")


def pair_log_probs(engine: LogProbEngine, model: Any, pairs: Sequence[PairRows]) -> torch.Tensor:
    """Summed answer log-probs: float `[rows, pairs]`, as `answers` orders them.

    One engine call holds all answers of all pairs, in which a packing engine finds what they share.
    """
    return engine.response_log_probs(model, answers(pairs)).sums().view(-1, len(pairs))


def answer_lengths(pairs: Sequence[PairRows]) -> torch.Tensor:
    """Scored tokens of the answers: int64 `[rows, pairs]`, as `answers` orders them."""
    return torch.tensor([row.response_length for row in answers(pairs)]).view(-1, len(pairs))
