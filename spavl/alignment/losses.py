"""Losses of preference learning: over pairs, over ranked lists, and DPO's family."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn.functional import logsigmoid

# Losses that take a mean over an answer's tokens where the others take a sum.
LENGTH_NORMALISED = ("sigmoid_norm", "ipo")


@dataclass(frozen=True)
class PairwiseLoss:
    """A loss over pairs.

    Attributes:
        loss: Mean over the batch, scalar.
        margins: Chosen minus rejected reward, float `[pairs]`, detached.
        chosen: Rewards of the chosen answers, likewise.
    """

    loss: torch.Tensor
    margins: torch.Tensor
    chosen: torch.Tensor

    @property
    def accuracy(self) -> torch.Tensor:
        """Share of pairs whose chosen answer has the higher reward; a tie counts as wrong."""
        return (self.margins > 0).float().mean()


def reward_loss(
    chosen: torch.Tensor, rejected: torch.Tensor, asked: torch.Tensor | float = 0.0
) -> PairwiseLoss:
    """Bradley-Terry loss `-log sigmoid(r_chosen - r_rejected - asked)`.

    Ouyang et al., 2022, equation 1; the asked margin as in Touvron et al., 2023 (Llama 2),
    equation 2.

    Args:
        chosen: Rewards of the chosen answers, float `[pairs]`.
        rejected: Rewards of the rejected answers, float `[pairs]`.
        asked: Margin asked of each pair, float `[pairs]` or one for all.
    """
    margins = chosen - rejected
    return PairwiseLoss(-logsigmoid(margins - asked).mean(), margins.detach(), chosen.detach())


def ranking_loss(rewards: torch.Tensor, mask: torch.Tensor) -> PairwiseLoss:
    """Plackett-Luce loss of ranked answers: each is chosen from those not ranked above it.

    `-sum_i log(exp r_i / sum_{j >= i} exp r_j)`, mean over the lists; of lists of two it is
    `reward_loss`. Plackett, 1975; Xia et al., 2008 (ListMLE).

    Args:
        rewards: Best answer first, float `[lists, longest]`.
        mask: True at answers, which start at column 0: bool `[lists, longest]`.

    Returns:
        The loss, and the margins of neighbours in every list.
    """
    held = rewards.masked_fill(~mask, float("-inf"))
    # The last column's sum runs over that answer alone, the first column's over the whole list.
    remaining = held.flip(1).logcumsumexp(dim=1).flip(1)
    choices = (remaining - rewards).masked_fill(~mask, 0.0)
    followed = mask[:, 1:]
    margins = (rewards[:, :-1] - rewards[:, 1:])[followed]
    chosen = rewards[:, :-1][followed]
    return PairwiseLoss(choices.sum(dim=1).mean(), margins.detach(), chosen.detach())


@dataclass(frozen=True)
class DpoObjective:
    """Which loss of DPO's family.

    Attributes:
        loss_type: TRL's name of the loss.
        beta: Strength of the pull towards the reference; IPO's tau.
        label_smoothing: cDPO's share of flipped labels; sigmoid losses only.
    """

    loss_type: Literal["sigmoid", "sigmoid_norm", "hinge", "ipo"] = "sigmoid"
    beta: float = 0.1
    label_smoothing: float = 0.0


def implicit_rewards(
    policy: torch.Tensor, reference: torch.Tensor, lengths: torch.Tensor, objective: DpoObjective
) -> torch.Tensor:
    """`beta (log pi - log pi_ref)`, per token where the loss is length-normalised.

    Args:
        policy: Summed answer log-probs under the policy, float `[rows, pairs]`: chosen, rejected,
            and for mDPO the chosen answer under another picture.
        reference: The same under the frozen reference.
        lengths: Scored tokens of the answers, `[rows, pairs]`.
        objective: The loss.

    Returns:
        float `[rows, pairs]`.
    """
    ratios = policy - reference
    if objective.loss_type in LENGTH_NORMALISED:
        ratios = ratios / lengths
    return objective.beta * ratios


def dpo_loss(rewards: torch.Tensor, objective: DpoObjective) -> PairwiseLoss:
    """DPO's loss of implicit rewards.

    sigmoid: Rafailov et al., 2023, equation 7, with Mitchell's label smoothing (cDPO, 2023), which
    TRL 1.16 has no more: its `sigmoid` ignores `label_smoothing`, its `robust` is another loss;
    hinge: Zhao et al., 2023 (SLiC), with the reward in place of the log-prob; ipo: Azar et al.,
    2023, equation 17, of log-probs per token, as in TRL.

    Args:
        rewards: `implicit_rewards`, float `[2, pairs]`.
        objective: The loss.
    """
    margins = rewards[0] - rewards[1]
    match objective.loss_type:
        case "sigmoid" | "sigmoid_norm":
            flipped = objective.label_smoothing
            losses = -(1 - flipped) * logsigmoid(margins) - flipped * logsigmoid(-margins)
        case "hinge":
            losses = torch.relu(1 - margins)
        case "ipo":
            losses = (margins / objective.beta - 1 / (2 * objective.beta)) ** 2
    return PairwiseLoss(losses.mean(), margins.detach(), rewards[0].detach())


def picture_loss(rewards: torch.Tensor) -> torch.Tensor:
    """The conditional term of mDPO: the chosen answer under its own picture against another.

    `-log sigmoid(r(m_w, q, y_w) - r(m_l, q, y_w))`, r as in DPO. Wang et al., 2024 (arXiv
    2406.11839), equation 4, whose m_l is the picture cropped; here it is another class's.

    Args:
        rewards: Implicit rewards, float `[3, pairs]`: chosen, rejected, chosen under the other
            picture.
    """
    return -logsigmoid(rewards[0] - rewards[2]).mean()


def anchor_loss(rewards: torch.Tensor) -> torch.Tensor:
    """The anchor of mDPO: the chosen answer shall not become less likely than it was.

    `-log sigmoid(r(m_w, q, y_w) - delta)` with delta 0. Wang et al., 2024, equation 5.

    Args:
        rewards: Implicit rewards, the chosen answers' first: float `[2 or 3, pairs]`.
    """
    return -logsigmoid(rewards[0]).mean()


def sft_loss(log_probs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood a token of answers: the anchor of Pang et al., 2024, equation 2.

    Args:
        log_probs: Summed answer log-probs, float `[answers]`.
        lengths: Scored tokens of the answers, `[answers]`.
    """
    return -(log_probs / lengths).mean()
