"""What an answer's tokens are worth: by a value model, or against the prompt's other answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from spavl.alignment.ppo_math import (
    advantages_and_returns,
    group_relative,
    kl_penalty,
    leave_one_out,
    token_rewards,
    whiten,
)
from spavl.settings.ppo import PpoSettings

if TYPE_CHECKING:
    from components.ppo.experience import Judged


@dataclass(frozen=True)
class Estimate:
    """Advantages of tokens and, where there is a value model, what it is fitted to.

    Attributes:
        advantages: float `[rows, longest answer]`.
        returns: Like it; None without a value model.
    """

    advantages: torch.Tensor
    returns: torch.Tensor | None


def estimate(
    judged: Judged, ended: torch.Tensor, settings: PpoSettings, kl_coef: float
) -> Estimate:
    """Advantages as the settings ask for.

    `gae`: of token rewards and values (Schulman et al., 2016). `rloo`: one number an answer, of its
    score less the summed KL penalty, `leave_one_out`. `grpo`: one number an answer, of its score
    alone, `group_relative`; the KL penalty is a term of the loss there.

    Args:
        judged: What the models say of the rollouts, those of a prompt side by side.
        ended: Whether the policy ended the answers itself: bool `[rows]`.
        settings: Which, and how.
        kl_coef: The KL coefficient.
    """
    match settings.advantage:
        case "gae":
            return _by_value_model(judged, rewards_of(judged, ended, settings, kl_coef), settings)
        case "rloo":
            whole = rewards_of(judged, ended, settings, kl_coef).sum(dim=1)
            found = leave_one_out(whole, settings.num_generations)
        case "grpo":
            scores = scores_of(judged, ended, settings)
            found = group_relative(scores, settings.num_generations, settings.group_deviation)
    return Estimate(found[:, None] * judged.mask, None)


def _by_value_model(judged: Judged, rewards: torch.Tensor, settings: PpoSettings) -> Estimate:
    assert judged.values is not None, "gae has a value model"
    advantages, returns = advantages_and_returns(
        rewards, judged.values, judged.mask, settings.gamma, settings.lam
    )
    if settings.whiten_advantages:
        advantages = whiten(advantages, judged.mask)
    return Estimate(advantages, returns)


def scores_of(judged: Judged, ended: torch.Tensor, settings: PpoSettings) -> torch.Tensor:
    """The reward model's scores, clipped, less a missing end's penalty: float `[rows]`."""
    scores = judged.scores
    if settings.score_clip is not None:
        scores = scores.clamp(-settings.score_clip, settings.score_clip)
    return scores - (settings.missing_eos_penalty or 0.0) * (~ended).float()


def rewards_of(
    judged: Judged, ended: torch.Tensor, settings: PpoSettings, kl_coef: float
) -> torch.Tensor:
    """Rewards of tokens: the score at the last, the KL penalty at each.

    Args:
        judged: What the models say of the rollouts.
        ended: Whether the policy ended the answers itself: bool `[rows]`.
        settings: Clipping, penalty, estimator, whitening.
        kl_coef: The KL coefficient.

    Returns:
        float `[rows, longest answer]`.
    """
    log_ratio = judged.log_probs - judged.reference_log_probs
    penalty = kl_penalty(log_ratio, settings.kl_estimator)
    rewards = token_rewards(scores_of(judged, ended, settings), penalty, judged.mask, kl_coef)
    # The sign of a reward means something, so nothing is shifted.
    return whiten(rewards, judged.mask, shift=False) if settings.whiten_rewards else rewards
