"""Rollouts and all that is fixed about them before the policy is updated."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from components.ppo.players import Players
from components.ppo.prompts import Prompt
from spavl.alignment.ppo_math import advantages_and_returns, token_rewards, whiten
from spavl.alignment.rows import Row
from spavl.chat.interface import Sampling
from spavl.models.generation import Generated, generate_from, pad_left, pad_token_id
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
        values: Before each token.
        advantages: Whitened over the iteration.
        returns: What the values are fitted to.
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
    values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor


def gather_experience(
    players: Players, prompts: Sequence[Prompt], settings: PpoSettings, iteration: int
) -> Experience:
    """Let the policy answer, score the answers, estimate advantages.

    Args:
        players: The models.
        prompts: What to ask.
        settings: Sampling, KL and advantage settings.
        iteration: Seeds the draws.
    """
    prompts = sorted(prompts, key=lambda prompt: len(prompt.token_ids))  # little padding
    answers = roll_out(players, prompts, settings, iteration)
    rows = [
        Row(prompt.image_id, (*prompt.token_ids, *ids), len(prompt.token_ids))
        for prompt, ids in zip(prompts, answers.token_ids, strict=True)
    ]
    judged = judge(players, rows, settings)
    ended = torch.tensor([reason == "stop" for reason in answers.finish_reasons])
    penalty = (settings.missing_eos_penalty or 0.0) * (~ended).float()
    kl = judged.log_probs - judged.reference_log_probs
    rewards = token_rewards(judged.scores - penalty, kl, judged.mask, settings.kl_coef)
    advantages, returns = advantages_and_returns(
        rewards, judged.values, judged.mask, settings.gamma, settings.lam
    )
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
        values=judged.values,
        advantages=whiten(advantages, judged.mask),
        returns=returns,
    )


@torch.no_grad()
def roll_out(
    players: Players, prompts: Sequence[Prompt], settings: PpoSettings, iteration: int
) -> Generated:
    """Answers drawn from the policy, in the order of the prompts."""
    tokenizer = players.processor.tokenizer
    training = players.policy.training
    players.policy.eval()  # gradient checkpointing in training mode would switch the cache off
    parts: list[Generated] = []
    for start in range(0, len(prompts), settings.generation_batch_size):
        part = prompts[start : start + settings.generation_batch_size]
        seed = derive_seed(settings.seed, "rollout", str(iteration), str(start))
        sampling = Sampling(settings.response_length, settings.temperature, seed=seed)
        token_ids = [prompt.token_ids for prompt in part]
        inputs = pad_left(token_ids, pad_token_id(tokenizer), players.policy.device)
        pictures = players.pictures.inputs_for(players.policy, [p.image_id for p in part])
        parts.append(generate_from(players.policy, tokenizer, {**inputs, **pictures}, sampling))
    players.policy.train(training)
    return Generated(
        token_ids=[ids for part in parts for ids in part.token_ids],
        texts=[text for part in parts for text in part.texts],
        finish_reasons=[reason for part in parts for reason in part.finish_reasons],
        prompt_tokens=[tokens for part in parts for tokens in part.prompt_tokens],
    )


@dataclass(frozen=True)
class Judged:
    """What the four models say of rows, without gradient; see `Experience`."""

    mask: torch.Tensor
    log_probs: torch.Tensor
    entropy: torch.Tensor
    reference_log_probs: torch.Tensor
    values: torch.Tensor
    scores: torch.Tensor


@torch.no_grad()
def judge(players: Players, rows: Sequence[Row], settings: PpoSettings) -> Judged:
    """Ask policy, reference, value and reward model about rows, in passes that fit into memory."""
    found: dict[str, list[torch.Tensor]] = defaultdict(list)
    for start in range(0, len(rows), settings.generation_batch_size):
        part = rows[start : start + settings.generation_batch_size]
        policy = players.log_probs.response_log_probs(players.policy, part, settings.temperature)
        reference = players.log_probs.response_log_probs(
            players.reference, part, settings.temperature
        )
        found["mask"].append(policy.mask)
        found["log_probs"].append(policy.values)
        found["entropy"].append(policy.entropy)
        found["reference_log_probs"].append(reference.values)
        found["values"].append(players.rewards.values(players.value, part))
        found["scores"].append(players.rewards.rewards(players.reward, part))
    scores = torch.cat(found.pop("scores"))
    return Judged(scores=scores.cpu(), **{name: stacked(parts) for name, parts in found.items()})


def stacked(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Parts `[rows, length]` of different lengths as one, padded with zeros, on the CPU."""
    longest = max(part.shape[1] for part in parts)
    return torch.cat([pad(part, (0, longest - part.shape[1])) for part in parts]).cpu()
