"""Losses against numbers worked by hand and against TRL's words for them."""

import math

import pytest
import torch

from spavl.alignment.losses import dpo_loss, reward_loss


def test_reward_loss_is_log_two_where_the_rewards_are_equal_and_that_counts_as_wrong() -> None:
    found = reward_loss(torch.tensor([1.5]), torch.tensor([1.5]))
    assert found.loss.item() == pytest.approx(math.log(2))
    assert found.accuracy.item() == 0.0


def test_reward_loss_of_two_pairs_worked_by_hand() -> None:
    # Margins 2 and -1: (log(1 + e^-2) + log(1 + e)) / 2 = (0.126928 + 1.313262) / 2.
    found = reward_loss(torch.tensor([3.0, 0.0]), torch.tensor([1.0, 1.0]))
    assert found.loss.item() == pytest.approx(0.720095, abs=1e-6)
    assert found.margins.tolist() == [2.0, -1.0]
    assert found.accuracy.item() == 0.5


def test_dpo_loss_worked_by_hand() -> None:
    # beta ((-10 + 12) - (-20 + 17)) = 0.1 (2 + 3) = 0.5; log(1 + e^-0.5) = 0.474077.
    policy = torch.tensor([[-10.0], [-20.0]])
    reference = torch.tensor([[-12.0], [-17.0]])
    found = dpo_loss(policy, reference, beta=0.1)
    assert found.loss.item() == pytest.approx(0.474077, abs=1e-6)
    assert found.margins.item() == pytest.approx(0.5)


def test_dpo_gradient_pulls_both_answers_apart_by_beta_times_the_error() -> None:
    policy = torch.tensor([[-10.0], [-20.0]], requires_grad=True)
    reference = torch.tensor([[-12.0], [-17.0]])
    dpo_loss(policy, reference, beta=0.1).loss.backward()
    error = 0.1 / (1 + math.exp(0.5))  # beta sigmoid(-margin), equation 7's gradient
    assert policy.grad is not None
    assert policy.grad.flatten().tolist() == pytest.approx([-error, error])
