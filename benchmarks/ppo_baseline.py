"""PPO as four plain models: the side that ours is measured against.

Written as a practitioner would with transformers alone, and kept as good as that goes: everything
is batched (rows are equally long, so nothing is padded), generation uses the library's cache,
passes without gradient hold no activations, and the frozen tower takes no gradient. What it does
not do is what ours is about: each answer reads its picture and its prompt again, in every model,
and the four models each have weights of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from spavl.alignment.ppo_math import (
    advantages_and_returns,
    policy_loss,
    token_rewards,
    value_loss,
    whiten,
)


@dataclass(frozen=True)
class PlainSettings:
    """The settings that both sides share.

    Attributes:
        generations: Answers of a prompt.
        answer_tokens: Tokens of an answer.
        scoring_rows: Rows of a pass without gradient.
        training_rows: Rows of a pass with gradient.
        minibatch: Rows of an update.
        epochs: Passes over the rollouts.
        lean: Whether the language-model head runs on answer positions only, which transformers
            offers (`logits_to_keep`) and few trainers use.
    """

    generations: int
    answer_tokens: int
    scoring_rows: int
    training_rows: int
    minibatch: int
    epochs: int
    lean: bool = False


@dataclass
class FourModels:
    """Policy, reference, reward and value model, and the optimizer of policy and value model."""

    policy: Any
    reference: Any
    reward: Any
    value: Any
    optimizer: torch.optim.Optimizer

    def trained(self) -> list[torch.nn.Parameter]:
        """Weights that take gradients."""
        models = (self.policy, self.value)
        return [p for model in models for p in model.parameters() if p.requires_grad]


@dataclass(frozen=True)
class Rollouts:
    """Rows with what is fixed about them; tensors float `[rows, answer]` unless said.

    Attributes:
        batch: `input_ids` and `attention_mask` `[rows, length]` and `pixel_values`.
        mask: True at answer tokens, bool.
    """

    batch: dict[str, torch.Tensor]
    mask: torch.Tensor
    log_probs: torch.Tensor
    values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor


def iteration(
    models: FourModels, prompts: dict[str, torch.Tensor], settings: PlainSettings
) -> Rollouts:
    """One iteration: answers, scores, updates.

    Args:
        models: The four.
        prompts: `input_ids` and `attention_mask` `[prompts, length]`, and `pixel_values`.
        settings: Sizes.
    """
    rollouts = experience(models, prompts, settings)
    rows = len(rollouts.mask)
    for _ in range(settings.epochs):
        order = torch.randperm(rows)
        for part in order.split(settings.minibatch):
            update(models, rollouts, part, settings)
    return rollouts


@torch.no_grad()
def experience(
    models: FourModels, prompts: dict[str, torch.Tensor], settings: PlainSettings
) -> Rollouts:
    """Answers of the policy and what the four models say of them."""
    repeated = {
        name: tensor.repeat_interleave(settings.generations, dim=0)
        for name, tensor in prompts.items()
    }
    sequences = torch.cat(
        [
            models.policy.generate(
                **part,
                do_sample=True,
                top_k=0,
                max_new_tokens=settings.answer_tokens,
                min_new_tokens=settings.answer_tokens,
            )
            for part in _parts(repeated, settings.scoring_rows)
        ]
    )
    batch = {
        "input_ids": sequences,
        "attention_mask": torch.ones_like(sequences),
        "pixel_values": repeated["pixel_values"],
    }
    columns: dict[str, list[torch.Tensor]] = {}
    for part in _parts(batch, settings.scoring_rows):
        scores = models.reward(**part, use_cache=False)[:, -1]
        found = {
            "log_probs": answer_log_probs(models.policy, part, settings),
            "reference": answer_log_probs(models.reference, part, settings),
            "values": answer_values(models.value, part, settings),
            "scores": scores,
        }
        for name, tensor in found.items():
            columns.setdefault(name, []).append(tensor)
    whole = {name: torch.cat(parts) for name, parts in columns.items()}
    mask = torch.ones_like(whole["log_probs"], dtype=torch.bool)
    kl = whole["log_probs"] - whole["reference"]
    rewards = token_rewards(whole["scores"], kl, mask, 0.1)
    advantages, returns = advantages_and_returns(rewards, whole["values"], mask, 1.0, 1.0)
    return Rollouts(
        batch, mask, whole["log_probs"], whole["values"], whiten(advantages, mask), returns
    )


def update(
    models: FourModels, rollouts: Rollouts, rows: torch.Tensor, settings: PlainSettings
) -> None:
    """One optimizer step on some rows."""
    for part in rows.split(settings.training_rows):
        batch = {name: tensor[part] for name, tensor in rollouts.batch.items()}
        mask = rollouts.mask[part]
        policy = policy_loss(
            answer_log_probs(models.policy, batch, settings),
            rollouts.log_probs[part],
            rollouts.advantages[part],
            mask,
            0.2,
        )
        value = value_loss(
            answer_values(models.value, batch, settings),
            rollouts.values[part],
            rollouts.returns[part],
            mask,
            0.2,
        )
        loss = (policy.loss + 0.1 * value.loss) * (len(part) / len(rows))
        loss.backward()  # type: ignore[no-untyped-call]
    for model in (models.policy, models.value):
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    models.optimizer.step()
    models.optimizer.zero_grad()


def answer_log_probs(
    model: Any, batch: dict[str, torch.Tensor], settings: PlainSettings
) -> torch.Tensor:
    """Log-probs of the answers: float `[rows, answer]`."""
    length = settings.answer_tokens
    kept = {"logits_to_keep": length + 1} if settings.lean else {}
    logits = model(**batch, **kept, use_cache=False).logits[:, -length - 1 : -1]
    wanted = batch["input_ids"][:, -length:]
    losses = cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none")
    return -losses.view(wanted.shape)


def answer_values(
    model: Any, batch: dict[str, torch.Tensor], settings: PlainSettings
) -> torch.Tensor:
    """Values before each answer token: float `[rows, answer]`."""
    values: torch.Tensor = model(**batch, use_cache=False)[:, -settings.answer_tokens - 1 : -1]
    return values


def _parts(tensors: dict[str, torch.Tensor], size: int) -> Sequence[dict[str, torch.Tensor]]:
    rows = len(next(iter(tensors.values())))
    return [
        {name: tensor[start : start + size] for name, tensor in tensors.items()}
        for start in range(0, rows, size)
    ]
