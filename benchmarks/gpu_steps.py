"""Training steps of LLaVA-1.5-7B's shape, packed and plain, as the GPU benchmark takes them."""

import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gpu_world import Adapters, GpuShape, make_pairs, make_prompt, reward_model_on
from spavl.alignment.batching import packed_passes, packed_row_passes
from spavl.alignment.engines import attend_to_tries
from spavl.alignment.logprobs import PlainEngine
from spavl.alignment.losses import reward_loss
from spavl.alignment.packed_engine import PackedEngine
from spavl.alignment.ppo_math import (
    advantages_and_returns,
    policy_loss,
    token_rewards,
    value_loss,
    whiten,
)
from spavl.alignment.rewards import RewardEngine
from spavl.alignment.rows import PairRows, Row
from spavl.models.pictures import Pictures

BETA, KL, CLIP = 0.1, 0.1, 0.2
LEARNING_RATE = 1e-6


@dataclass(frozen=True)
class Side:
    """How rows are scored: packed, or one padded row an answer.

    Attributes:
        name: `packed` or `plain`.
        shape: Sizes of passes.
        log_probs: Scores answers; the head runs on their places only on both sides.
        rewards: Gives rewards and values.
    """

    name: str
    shape: GpuShape
    log_probs: Any
    rewards: Any

    def pair_passes(self, pairs: Sequence[PairRows]) -> list[list[PairRows]]:
        """A step's pairs in passes of about as many tokens on both sides."""
        if self.name == "packed":
            return packed_passes(pairs, self.shape.packed_tokens)
        size = self.shape.plain_rows // 2
        return [list(pairs[start : start + size]) for start in range(0, len(pairs), size)]

    def row_passes(self, rows: Sequence[Row]) -> list[list[int]]:
        """The same of rows, by their numbers."""
        numbers = list(range(len(rows)))
        if self.name == "packed":
            return packed_row_passes(rows, numbers, self.shape.packed_tokens)
        size = self.shape.plain_rows
        return [numbers[start : start + size] for start in range(0, len(rows), size)]


def make_side(name: str, shape: GpuShape, model: Any, pictures: Pictures) -> tuple[Side, str]:
    """A side by name, with the model made to attend as it wants; and what it attends by."""
    model.eval()
    if name == "packed":
        said: list[str] = []
        model.model.language_model.set_attn_implementation("sdpa")
        attend_to_tries(model, said.append)
        packed = PackedEngine(pictures, 0, shape.packed_tokens)
        return Side(name, shape, packed, packed), "".join(said) or "chain by chain"
    from transformers.utils import is_flash_attn_2_available

    flash = model.device.type == "cuda" and is_flash_attn_2_available()
    attention = "flash_attention_2" if flash else "sdpa"
    model.model.language_model.set_attn_implementation(attention)
    engines = PlainEngine(pictures, 0), RewardEngine(pictures, 0)
    return Side(name, shape, *engines), f"{attention}, rows of equal length"


class Training:
    """A step that can be taken again and again.

    Args:
        model: The policy, in which everything lives.
        side: How rows are scored.
    """

    rows: list[Row]

    def __init__(self, model: Any, side: Side) -> None:
        self.model, self.side = model, side

    def step(self) -> None:
        """Forward and backward passes and the optimizer."""
        raise NotImplementedError

    def _optimizer(self, weights: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer:
        # States in the weights' own type, on both sides: what is compared is the model's work.
        return torch.optim.AdamW(weights, lr=LEARNING_RATE, weight_decay=0.0, fused=True)

    def _update(self, optimizer: torch.optim.Optimizer) -> None:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()


class Dpo(Training):
    """DPO; the reference's log-probs are computed before the first step, and kept.

    Args:
        model: The policy.
        side: How rows are scored.
        adapters: LoRA, or None to train all but the tower.
    """

    def __init__(self, model: Any, side: Side, adapters: Adapters | None) -> None:
        super().__init__(model, side)
        self._adapters = adapters
        self._pairs = make_pairs(side.shape)
        self.rows = [row for pair in self._pairs for row in pair.rows]
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        self._optim = self._optimizer(adapters.weights("policy") if adapters else trained)
        with torch.no_grad():
            self._reference = [self._sums(part) for part in side.pair_passes(self._pairs)]

    def step(self) -> None:
        """See `Training`."""
        self.model.train()
        parts = self.side.pair_passes(self._pairs)
        for part, reference in zip(parts, self._reference, strict=True):
            with self._adapters.using("policy") if self._adapters else nullcontext():
                rewards = BETA * (self._sums(part) - reference)
                loss = reward_loss(*rewards).loss * (len(part) / len(self._pairs))
                loss.backward()
        self._update(self._optim)

    def _sums(self, pairs: Sequence[PairRows]) -> torch.Tensor:
        rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        found = self.side.log_probs.response_log_probs(self.model, rows).sums()
        return found.view(2, len(pairs))


class RewardTraining(Training):
    """A reward model of which all but the tower is trained."""

    def __init__(self, model: Any, side: Side) -> None:
        super().__init__(reward_model_on(model), side)
        self._pairs = make_pairs(side.shape)
        self.rows = [row for pair in self._pairs for row in pair.rows]
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self._optim = self._optimizer(weights)

    def step(self) -> None:
        """See `Training`."""
        self.model.train()
        for part in self.side.pair_passes(self._pairs):
            rows = [pair.chosen for pair in part] + [pair.rejected for pair in part]
            rewards = self.side.rewards.rewards(self.model, rows).view(2, len(part))
            loss = reward_loss(*rewards).loss * (len(part) / len(self._pairs))
            loss.backward()
        self._update(self._optim)


class Ppo(Training):
    """An iteration of PPO without its rollouts: four models' scores, one update of two adapters.

    Rollouts are the library's own, the same on both sides, and timed apart.

    Args:
        model: The backbone of all four.
        side: How rows are scored.
        adapters: LoRA of `policy` and `value`; reference and reward model are the base.
        rows: The rollouts.
    """

    def __init__(self, model: Any, side: Side, adapters: Adapters, rows: list[Row]) -> None:
        super().__init__(model, side)
        self._adapters, self.rows = adapters, rows
        self._reward, self._value = reward_model_on(model), reward_model_on(model)
        weights = [*adapters.weights("policy"), *adapters.weights("value")]
        self._optim = self._optimizer([*weights, self._value.score.weight])

    def step(self) -> None:
        """See `Training`; every pass's experience is scored, then all are learnt from."""
        passes = [[self.rows[n] for n in part] for part in self.side.row_passes(self.rows)]
        self.model.eval()
        with torch.no_grad():
            judged = [self._judge(rows) for rows in passes]
        self.model.train()
        for rows, (mask, old, values, advantages, returns) in zip(passes, judged, strict=True):
            share = len(rows) / len(self.rows)
            with self._adapters.using("policy"):
                new = self.side.log_probs.response_log_probs(self.model, rows).values
                (policy_loss(new, old, advantages, mask, CLIP).loss * share).backward()
            with self._adapters.using("value"):
                fresh = self.side.rewards.values(self._value, rows)
                (value_loss(fresh, values, returns, mask, CLIP).loss * share).backward()
        self._update(self._optim)

    def _judge(self, rows: list[Row]) -> tuple[torch.Tensor, ...]:
        with self._adapters.using("policy"):
            found = self.side.log_probs.response_log_probs(self.model, rows)
        with self._adapters.using("value"):
            values = self.side.rewards.values(self._value, rows)
        reference = self.side.log_probs.response_log_probs(self.model, rows).values
        scores = self.side.rewards.rewards(self._reward, rows)
        mask, old = found.mask, found.values
        rewards = token_rewards(scores, old - reference, mask, KL)
        advantages, returns = advantages_and_returns(rewards, values, mask, 1.0, 0.95)
        return mask, old, values, whiten(advantages, mask), returns


def roll_out(shape: GpuShape, model: Any, pictures: Pictures) -> Callable[[], list[Row]]:
    """Prepare prompts; what is given back lets the library generate their answers in one batch."""
    chance = random.Random(1)
    names = [f"prompt {number}" for number in range(shape.prompts)]
    pictures.read(names)
    asked = [(name, make_prompt(shape, chance)) for name in names for _ in range(shape.generations)]

    @torch.no_grad()
    def generate() -> list[Row]:
        ids = torch.tensor([prompt for _, prompt in asked], device=model.device)
        inputs = pictures.inputs_for(model, [name for name, _ in asked])
        sequences = model.eval().generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            top_k=0,
            min_new_tokens=shape.answer_tokens,
            max_new_tokens=shape.answer_tokens,
            suppress_tokens=[shape.picture_id],
            **inputs,
        )
        return [
            Row(name, tuple(row), len(prompt))
            for (name, prompt), row in zip(asked, sequences.tolist(), strict=True)
        ]

    return generate
