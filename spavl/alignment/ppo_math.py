"""PPO's arithmetic on padded batches; padding never counts.

Schulman et al., 2017 (clipped objective) and 2016 (generalised advantage estimation); rewards as in
Ouyang et al., 2022: a KL penalty at every token and the reward model's score at the last.
All tensors are float `[rows, longest answer]` and masks bool of the same shape unless said.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

ROUNDING = 1e-6  # relative; values that differ by no more are equal in float32


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over true positions, scalar."""
    return values[mask].mean()


def whiten(values: torch.Tensor, mask: torch.Tensor, shift: bool = True) -> torch.Tensor:
    """Divide by the standard deviation, after a shift to mean 0 unless told otherwise.

    Both are taken over true positions. Where all values are equal there is nothing to divide by:
    they are shifted alone.

    Returns:
        Values that are 0 at padding.
    """
    found = values[mask]
    spread = found.std(correction=0) if _differ(found) else found.new_ones(())
    mean = found.mean() if shift else found.new_zeros(())
    return ((values - mean) / (spread + 1e-8)).masked_fill(~mask, 0.0)


def _differ(values: torch.Tensor) -> bool:
    """Whether values differ by more than rounding, which no division may blow up."""
    return bool(values.std(correction=0) > ROUNDING * values.abs().max())


def kl_penalty(log_ratio: torch.Tensor, estimator: Literal["k1", "k3"]) -> torch.Tensor:
    """Estimate KL(pi, pi_ref) of each token from one draw of pi.

    Schulman, 2020, "Approximating KL divergence": k1 is the log ratio itself, k3 adds a term of
    mean 0 that takes variance away and makes every estimate at least 0.

    Args:
        log_ratio: `log pi - log pi_ref` of each token.
        estimator: Which of the two.
    """
    match estimator:
        case "k1":
            return log_ratio
        case "k3":
            return torch.expm1(-log_ratio) + log_ratio


class KlController:
    """The KL coefficient: fixed, or steered to a target.

    Ziegler et al., 2019, section 2.2: proportional control of the coefficient's logarithm, with the
    error clipped to 20%.

    Args:
        coefficient: At the start.
        target: Nats of KL an answer; None leaves the coefficient as it is.
        horizon: Rollouts in which the coefficient changes by at most 20%.
    """

    def __init__(self, coefficient: float, target: float | None, horizon: int) -> None:
        self.coefficient = coefficient
        self._target = target
        self._horizon = horizon

    def update(self, kl: float, rollouts: int) -> None:
        """Take an iteration's mean KL of an answer into account."""
        if self._target is not None:
            error = min(max(kl / self._target - 1, -0.2), 0.2)
            self.coefficient *= 1 + error * rollouts / self._horizon

    def state(self) -> dict[str, float]:
        """For checkpoints."""
        return {"coefficient": self.coefficient}

    def load(self, state: Mapping[str, float]) -> None:
        """Take over what `state` gave."""
        self.coefficient = state["coefficient"]


def token_rewards(
    scores: torch.Tensor, kl: torch.Tensor, mask: torch.Tensor, kl_coef: float
) -> torch.Tensor:
    """Rewards of tokens: `-kl_coef * kl` everywhere, plus the row's score at its last token.

    Args:
        scores: float `[rows]`.
        kl: `kl_penalty` of each token.
        mask: True at answer tokens, which start at column 0.
        kl_coef: The coefficient.
    """
    rewards = (-kl_coef * kl).masked_fill(~mask, 0.0)
    last = mask.sum(dim=1, keepdim=True) - 1  # [rows, 1]
    return rewards.scatter_add(1, last, scores[:, None])


def advantages_and_returns(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, gamma: float, lam: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Generalised advantage estimation; a row ends with its last answer token.

    `delta_t = r_t + gamma V_{t+1} - V_t`, `A_t = delta_t + gamma lam A_{t+1}`, return `A_t + V_t`.

    Returns:
        Advantages and returns, 0 at padding.
    """
    values = values.masked_fill(~mask, 0.0)
    rewards = rewards.masked_fill(~mask, 0.0)
    advantage = torch.zeros_like(values[:, 0])
    following = torch.zeros_like(advantage)
    columns = []
    # At padding both stay 0, so the recursion starts at each row's last token by itself.
    for column in reversed(range(values.shape[1])):
        delta = rewards[:, column] + gamma * following - values[:, column]
        advantage = delta + gamma * lam * advantage
        following = values[:, column]
        columns.append(advantage)
    advantages = torch.stack(columns[::-1], dim=1).masked_fill(~mask, 0.0)
    return advantages, (advantages + values).masked_fill(~mask, 0.0)


def leave_one_out(rewards: torch.Tensor, together: int) -> torch.Tensor:
    """REINFORCE leave-one-out: each answer against the mean of the prompt's others.

    `A_i = R_i - 1 / (K - 1) sum_{j != i} R_j`. Kool et al., 2019, equation 8; Ahmadian et al., 2024
    (arXiv 2402.14740), section 3.2, where an answer as a whole is one action.

    Args:
        rewards: Of whole answers, those of a prompt side by side: float `[rows]`.
        together: Answers of a prompt, K.
    """
    groups = rewards.view(-1, together)
    others = (groups.sum(dim=1, keepdim=True) - groups) / (together - 1)
    return (groups - others).flatten()


def group_relative(rewards: torch.Tensor, together: int, divide: bool = True) -> torch.Tensor:
    """GRPO's advantages: each answer against its group's mean, in units of its deviation.

    `A_i = (R_i - mean R) / std R`. Shao et al., 2024 (arXiv 2402.03300), section 4.1.2; without the
    division it is that of Liu et al., 2025 (Dr. GRPO, arXiv 2503.20783), section 3.1. The deviation
    is the sample's (K - 1), as in the authors' and TRL's code. Of equal rewards all are 0.

    Args:
        rewards: Of whole answers, those of a prompt side by side: float `[rows]`.
        together: Answers of a prompt, K.
        divide: Whether to divide by the deviation.
    """
    groups = rewards.view(-1, together)
    centred = groups - groups.mean(dim=1, keepdim=True)
    if divide:
        spread = groups.std(dim=1, keepdim=True)
        equal = spread <= ROUNDING * groups.abs().amax(dim=1, keepdim=True)
        centred = (centred / (spread + 1e-8)).masked_fill(equal, 0.0)
    return centred.flatten()


def token_weights(
    mask: torch.Tensor, normalisation: Literal["tokens", "answers", "constant"], longest: int
) -> torch.Tensor:
    """What each token counts in an update's loss; a loss is the sum of weighted tokens.

    Args:
        mask: True at answer tokens of all rows of the update.
        normalisation: `tokens`: alike, 1 in all (PPO; Yu et al., 2025, DAPO, equation 12);
            `answers`: each answer alike (Shao et al., 2024, equation 3); `constant`: 1 over rows
            times `longest`, so that long answers are not favoured (Liu et al., 2025, section 3.1).
        longest: Most tokens of an answer.

    Returns:
        float32, 0 at padding.
    """
    counted = mask.float()
    match normalisation:
        case "tokens":
            return counted / counted.sum()
        case "answers":
            return counted / counted.sum(dim=1, keepdim=True) / len(mask)
        case "constant":
            return counted / (len(mask) * longest)


@dataclass(frozen=True)
class ClippedLoss:
    """A clipped loss: its weighted sum over tokens and the share of tokens that were clipped."""

    loss: torch.Tensor
    clip_fraction: torch.Tensor


def policy_loss(
    log_probs: torch.Tensor,
    old_log_probs: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    cliprange: float,
    weights: torch.Tensor | None = None,
) -> ClippedLoss:
    """PPO's clipped surrogate, `-min(rho A, clip(rho, 1 - c, 1 + c) A)`.

    Its mean over answer tokens, or their sum under `token_weights`.
    """
    ratio = torch.exp((log_probs - old_log_probs).masked_fill(~mask, 0.0))
    plain = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - cliprange, 1 + cliprange)
    return ClippedLoss(
        _weighted(torch.maximum(plain, clipped), mask, weights),
        masked_mean((clipped > plain).float(), mask).detach(),
    )


def kl_loss(
    log_probs: torch.Tensor, reference: torch.Tensor, mask: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """GRPO's penalty in the loss: k3 of the policy as it is now, weighted sum over tokens, scalar.

    `pi_ref / pi - log(pi_ref / pi) - 1`. Shao et al., 2024, equation 4.
    """
    log_ratio = (log_probs - reference).masked_fill(~mask, 0.0)
    return _weighted(kl_penalty(log_ratio, "k3"), mask, weights)


def _weighted(
    losses: torch.Tensor, mask: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    return masked_mean(losses, mask) if weights is None else (losses * weights)[mask].sum()


def value_loss(
    values: torch.Tensor,
    old_values: torch.Tensor,
    returns: torch.Tensor,
    mask: torch.Tensor,
    cliprange: float,
) -> ClippedLoss:
    """Clipped squared error, `max((V - R)^2, (V_clipped - R)^2) / 2`."""
    near = old_values + (values - old_values).clamp(-cliprange, cliprange)
    plain, clipped = (values - returns) ** 2, (near - returns) ** 2
    return ClippedLoss(
        0.5 * masked_mean(torch.maximum(plain, clipped), mask),
        masked_mean((clipped > plain).float(), mask).detach(),
    )


def explained_variance(
    values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """`1 - Var(R - V) / Var(R)` over answer tokens, scalar; 0 where returns do not vary."""
    found = returns[mask]
    if not _differ(found):
        return found.new_zeros(())
    return 1 - (found - values[mask]).var(correction=0) / found.var(correction=0)
