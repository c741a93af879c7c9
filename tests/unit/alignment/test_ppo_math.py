"""PPO's arithmetic against numbers worked by hand and a slow reference loop."""

import math

import pytest
import torch

from spavl.alignment.ppo_math import (
    advantages_and_returns,
    explained_variance,
    masked_mean,
    policy_loss,
    token_rewards,
    value_loss,
    whiten,
)


def slow_advantages(
    rewards: list[float], values: list[float], gamma: float, lam: float
) -> list[float]:
    """Generalised advantage estimation as the sum in its definition."""
    deltas = [
        rewards[t] + gamma * (values[t + 1] if t + 1 < len(values) else 0.0) - values[t]
        for t in range(len(rewards))
    ]
    return [
        sum((gamma * lam) ** (later - t) * deltas[later] for later in range(t, len(deltas)))
        for t in range(len(deltas))
    ]


def test_advantages_worked_by_hand() -> None:
    # deltas: 1 + 0.5*1 - 0.5 = 1, 2 + 0 - 1 = 1; A_1 = 1, A_0 = 1 + 0.5*0.5*1 = 1.25.
    found, returns = advantages_and_returns(
        torch.tensor([[1.0, 2.0]]),
        torch.tensor([[0.5, 1.0]]),
        torch.ones(1, 2, dtype=torch.bool),
        gamma=0.5,
        lam=0.5,
    )
    assert found.tolist() == [[1.25, 1.0]]
    assert returns.tolist() == [[1.75, 2.0]]


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (1.0, 0.95), (0.9, 0.5), (0.7, 0.0)])
def test_advantages_equal_the_slow_loop_at_every_length_and_ignore_padding(
    gamma: float, lam: float
) -> None:
    chance = torch.Generator().manual_seed(1)
    lengths = [1, 4, 7, 2]
    mask = torch.arange(7) < torch.tensor(lengths)[:, None]
    rewards, values = (torch.randn(4, 7, generator=chance) for _ in range(2))
    poisoned = torch.where(mask, values, torch.tensor(1e6))
    found, returns = advantages_and_returns(
        torch.where(mask, rewards, torch.tensor(-1e6)), poisoned, mask, gamma, lam
    )
    for row, length in enumerate(lengths):
        slow = slow_advantages(
            rewards[row, :length].tolist(), values[row, :length].tolist(), gamma, lam
        )
        torch.testing.assert_close(found[row, :length], torch.tensor(slow))
        assert found[row, length:].eq(0).all()
    torch.testing.assert_close(returns[mask], found[mask] + values[mask])


def test_the_score_lands_on_the_last_token_and_kl_on_every_token() -> None:
    mask = torch.tensor([[True, True, False], [True, True, True]])
    kl = torch.tensor([[1.0, 2.0, 9.0], [0.0, -1.0, 1.0]])
    found = token_rewards(torch.tensor([5.0, 7.0]), kl, mask, kl_coef=0.1)
    torch.testing.assert_close(found, torch.tensor([[-0.1, 4.8, 0.0], [0.0, 0.1, 6.9]]))


def test_whitened_values_have_mean_0_and_variance_1_over_true_positions_only() -> None:
    mask = torch.tensor([[True, True, False], [True, False, False]])
    found = whiten(torch.tensor([[1.0, 2.0, 1e6], [3.0, -1e6, 1e6]]), mask)
    side = math.sqrt(1.5)
    torch.testing.assert_close(found, torch.tensor([[-side, 0.0, 0.0], [side, 0.0, 0.0]]))


@pytest.mark.parametrize("number", [0.1, 3.3, -7.0])
def test_equal_values_are_shifted_and_their_rounding_is_not_blown_up(number: float) -> None:
    equal = torch.full((10, 10), number)  # its mean in float32 is not exactly the number
    assert whiten(equal, equal.bool()).abs().max() < 1e-6
    torch.testing.assert_close(whiten(equal, equal.bool(), shift=False), equal)
    assert whiten(equal[:1, :1], torch.ones(1, 1).bool()).item() == 0.0
    assert whiten(equal[:1, :1], torch.ones(1, 1).bool(), shift=False).item() == equal[0, 0]
    assert explained_variance(torch.randn(10, 10), equal, equal.bool()).item() == 0.0


def test_policy_loss_clips_only_what_would_go_too_far() -> None:
    # ratio 1.5: gain 1.5 is clipped to 1.2 for A = 1; for A = -1 the worse 1.5 stands.
    mask = torch.ones(1, 2, dtype=torch.bool)
    old = torch.zeros(1, 2)
    new = torch.full((1, 2), math.log(1.5), requires_grad=True)
    found = policy_loss(new, old, torch.tensor([[1.0, -1.0]]), mask, cliprange=0.2)
    assert found.loss.item() == pytest.approx((-1.2 + 1.5) / 2)
    assert found.clip_fraction.item() == 0.5
    found.loss.backward()
    assert new.grad is not None
    assert new.grad.tolist()[0] == pytest.approx([0.0, 0.75])


def test_padding_counts_nowhere_in_the_losses() -> None:
    mask = torch.tensor([[True, True, False]])
    new, old, advantages, returns = (torch.randn(1, 3) for _ in range(4))
    poison = torch.tensor([[0.0, 0.0, 1e4]])
    plain = policy_loss(new[:, :2], old[:, :2], advantages[:, :2], mask[:, :2], 0.2)
    padded = policy_loss(new + poison, old, advantages + poison, mask, 0.2)
    assert padded.loss.item() == pytest.approx(plain.loss.item())
    plain = value_loss(new[:, :2], old[:, :2], returns[:, :2], mask[:, :2], 0.2)
    padded = value_loss(new + poison, old, returns - poison, mask, 0.2)
    assert padded.loss.item() == pytest.approx(plain.loss.item())
    assert masked_mean(poison, mask).item() == 0.0


def test_value_loss_takes_the_worse_of_clipped_and_plain() -> None:
    # V moved from 0 to 1, return 1: plain error 0, clipped at 0.2 leaves 0.8; half of 0.64.
    one = torch.ones(1, 1)
    found = value_loss(one, torch.zeros(1, 1), one, one.bool(), cliprange=0.2)
    assert found.loss.item() == pytest.approx(0.32)
    assert found.clip_fraction.item() == 1.0


def test_explained_variance_is_1_for_the_returns_and_0_for_a_constant() -> None:
    returns = torch.tensor([[1.0, 2.0, 3.0]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    assert explained_variance(returns, returns, mask).item() == 1.0
    assert explained_variance(torch.zeros(1, 3), returns, mask).item() == 0.0
    assert explained_variance(returns, torch.zeros(1, 3), mask).item() == 0.0
