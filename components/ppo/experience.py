"""Rollouts and all that is fixed about them before the policy is updated."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import pad

from components.ppo.advantages import estimate
from components.ppo.players import Players, Role
from components.ppo.prompts import Prompt
from spavl.alignment import processes
from spavl.alignment.logprobs import ResponseLogProbs
from spavl.alignment.loop import evaluating
from spavl.alignment.rows import Row
from spavl.alignment.spread_weights import whole_weights
from spavl.chat.interface import Sampling
from spavl.models.caches import cache_bytes
from spavl.models.generation import Generated, generate_from, pad_left, pad_token_id
from spavl.models.pictures import MIB
from spavl.seeds import derive_seed
from spavl.settings.ppo import PpoSettings


@dataclass(frozen=True)
class Experience:
    """One iteration's rollouts; tensors are float `[rows, longest answer]` unless said.

    Attributes:
        prompts: What was asked.
        rows: Prompts with the generated tokens as they were drawn, never tokenised again.
        texts: The answers as text.
        ended: Whether the policy ended the answer itself: bool `[rows]`.
        scores: The reward model's: float `[rows]`; a missing end's penalty is not in it.
        mask: True at answer tokens, bool.
        log_probs: Under the policy that drew them.
        kl: `log pi - log pi_ref` of each token.
        entropy: Of the policy at each token, in nats.
        advantages: See `components.ppo.advantages`.
        values: Before each token; None without a value model.
        returns: What the values are fitted to; None without a value model.
        kl_coef: The KL coefficient that the iteration goes by.
    """

    prompts: list[Prompt]
    rows: list[Row]
    texts: list[str]
    ended: torch.Tensor
    scores: torch.Tensor
    mask: torch.Tensor
    log_probs: torch.Tensor
    kl: torch.Tensor
    entropy: torch.Tensor
    advantages: torch.Tensor
    values: torch.Tensor | None
    returns: torch.Tensor | None
    kl_coef: float


def gather_experience(
    players: Players,
    prompts: Sequence[Prompt],
    settings: PpoSettings,
    iteration: int,
    kl_coef: float | None = None,
) -> Experience:
    """Let the policy answer, score the answers, estimate advantages.

    Args:
        players: The models.
        prompts: What to ask; each gets `num_generations` answers.
        settings: Sampling, KL and advantage settings.
        iteration: Seeds the draws.
        kl_coef: The KL coefficient; the settings' by default.
    """
    prompts = sorted(prompts, key=lambda prompt: len(prompt.token_ids))  # little padding
    answers = roll_out(players, prompts, settings, iteration)
    prompts = [prompt for prompt in prompts for _ in range(settings.num_generations)]
    rows = [
        Row(prompt.image_id, (*prompt.token_ids, *ids), len(prompt.token_ids))
        for prompt, ids in zip(prompts, answers.token_ids, strict=True)
    ]
    judged = judge(players, rows, settings)
    ended = torch.tensor([reason == "stop" for reason in answers.finish_reasons])
    kl = judged.log_probs - judged.reference_log_probs
    coefficient = settings.kl_coef if kl_coef is None else kl_coef
    estimated = estimate(judged, ended, settings, coefficient)
    return Experience(
        prompts=prompts,
        rows=rows,
        texts=answers.texts,
        ended=ended,
        scores=judged.scores,
        mask=judged.mask,
        log_probs=judged.log_probs,
        kl=kl,
        entropy=judged.entropy,
        advantages=estimated.advantages,
        values=judged.values,
        returns=estimated.returns,
        kl_coef=coefficient,
    )


@torch.no_grad()
def roll_out(
    players: Players, prompts: Sequence[Prompt], settings: PpoSettings, iteration: int
) -> Generated:
    """Answers drawn from the policy, in the order of the prompts, those of a prompt together."""
    rows = rows_that_fit(players.policy.model, prompts, settings)
    size = _rows_of_a_pass(len(prompts), rows // settings.num_generations)

    def answers(start: int) -> Generated:
        seed = derive_seed(settings.seed, "rollout", str(iteration), str(start))
        sampling = Sampling(settings.response_length, settings.temperature, seed=seed)
        part = prompts[start : start + size]
        return _answers(players, part, sampling, settings.num_generations)

    # Gradient checkpointing in training mode would switch the cache off.
    policy = players.policy.model
    with players.policy.active(), evaluating(policy), whole_weights(policy):
        parts = processes.each_in_turn(range(0, len(prompts), size), answers)
    return Generated(
        token_ids=[ids for part in parts for ids in part.token_ids],
        texts=[text for part in parts for text in part.texts],
        finish_reasons=[reason for part in parts for reason in part.finish_reasons],
        prompt_tokens=[tokens for part in parts for tokens in part.prompt_tokens],
    )


def rows_that_fit(model: Any, prompts: Sequence[Prompt], settings: PpoSettings) -> int:
    """How many rows are answered together: a function of the settings, not of what is free now.

    What is drawn depends on it, and a run that goes on must draw what it would have drawn.
    """
    longest = max(len(prompt.token_ids) for prompt in prompts) + settings.response_length
    fitting = int(settings.generation_cache_mib * MIB / (longest * cache_bytes(model)))
    return max(1, min(settings.generation_batch_size, fitting))


def _rows_of_a_pass(rows: int, most: int) -> int:
    """So many that every process has some."""
    return max(1, min(most, -(-rows // processes.count())))


def _answers(
    players: Players, prompts: Sequence[Prompt], sampling: Sampling, repeats: int
) -> Generated:
    policy, tokenizer = players.policy.model, players.processor.tokenizer
    token_ids = [prompt.token_ids for prompt in prompts]
    inputs = pad_left(token_ids, pad_token_id(tokenizer), policy.device)
    shown = [prompt.image_id for prompt in prompts]
    pictures = players.pictures.inputs_for(policy, shown, inputs["input_ids"])
    return generate_from(policy, tokenizer, {**inputs, **pictures}, sampling, repeats)


@dataclass(frozen=True)
class Judged:
    """What the models say of rows, without gradient; see `Experience`."""

    mask: torch.Tensor
    log_probs: torch.Tensor
    entropy: torch.Tensor
    reference_log_probs: torch.Tensor
    scores: torch.Tensor
    values: torch.Tensor | None = None


@torch.no_grad()
def judge(players: Players, rows: Sequence[Row], settings: PpoSettings) -> Judged:
    """Ask policy, reference, value and reward model about rows, in passes that fit into memory."""
    size = _rows_of_a_pass(len(rows), settings.generation_batch_size)
    passes = players.engines.row_passes(rows, range(len(rows)), size)

    def part(numbers: Sequence[int]) -> dict[str, torch.Tensor]:
        found = _judge_part(players, [rows[number] for number in numbers], settings)
        return {name: tensor.cpu() for name, tensor in found.items()}

    with ExitStack() as still:
        for model in players.trained:
            still.enter_context(evaluating(model))
        parts = processes.each_in_turn(passes, part)
    back = torch.tensor([number for numbers in passes for number in numbers]).argsort()
    found = {name: [part[name] for part in parts] for name in parts[0]}
    scores = torch.cat(found.pop("scores"))[back]
    whole = {name: stacked(tensors)[back] for name, tensors in found.items()}
    return Judged(scores=scores, **whole)


def _judge_part(
    players: Players, rows: Sequence[Row], settings: PpoSettings
) -> dict[str, torch.Tensor]:
    def log_probs(role: Role) -> ResponseLogProbs:
        with role.active():
            return players.engines.log_probs.response_log_probs(
                role.model, rows, settings.temperature
            )

    policy = log_probs(players.policy)
    with players.reward.active():
        scores = players.engines.rewards.rewards(players.reward.model, rows)
    found = {
        "mask": policy.mask,
        "log_probs": policy.values,
        "entropy": policy.entropy,
        "reference_log_probs": log_probs(players.reference).values,
        "scores": scores,
    }
    if players.value is not None:
        with players.value.active():
            found["values"] = players.engines.rewards.values(players.value.model, rows)
    return found


def stacked(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Parts `[rows, length]` of different lengths as one, padded with zeros."""
    longest = max(part.shape[1] for part in parts)
    return torch.cat([pad(part, (0, longest - part.shape[1])) for part in parts])
