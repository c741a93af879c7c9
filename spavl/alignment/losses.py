"""Losses of pairwise preference learning."""

from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid


@dataclass(frozen=True)
class PairwiseLoss:
    """A loss over pairs.

    Attributes:
        loss: Mean over the batch, scalar.
        margins: Chosen minus rejected reward, float `[pairs]`, detached.
    """

    loss: torch.Tensor
    margins: torch.Tensor

    @property
    def accuracy(self) -> torch.Tensor:
        """Share of pairs whose chosen answer has the higher reward; a tie counts as wrong."""
        return (self.margins > 0).float().mean()


def reward_loss(chosen: torch.Tensor, rejected: torch.Tensor) -> PairwiseLoss:
    """Bradley-Terry loss `-log sigmoid(r_chosen - r_rejected)`.

    Ouyang et al., 2022, equation 1.

    Args:
        chosen: Rewards of the chosen answers, float `[pairs]`.
        rejected: Rewards of the rejected answers, float `[pairs]`.
    """
    margins = chosen - rejected
    return PairwiseLoss(-logsigmoid(margins).mean(), margins.detach())


def dpo_loss(policy: torch.Tensor, reference: torch.Tensor, beta: float) -> PairwiseLoss:
    """Sigmoid DPO loss; the implicit reward is `beta (log pi - log pi_ref)`.

    Rafailov et al., 2023, equation 7.

    Args:
        policy: Summed answer log-probs under the policy, float `[2, pairs]`: chosen, rejected.
        reference: The same under the frozen reference.
        beta: Strength of the pull towards the reference.
    """
    rewards = beta * (policy - reference)  # [2, pairs]
    return reward_loss(rewards[0], rewards[1])
