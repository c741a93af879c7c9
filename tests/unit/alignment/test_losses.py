"""Losses and calibration against numbers worked by hand."""

import itertools
import math

import pytest
import torch

from spavl.alignment.calibration import calibration
from spavl.alignment.losses import (
    DpoObjective,
    dpo_loss,
    implicit_rewards,
    ranking_loss,
    reward_loss,
    sft_loss,
)


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


def test_an_asked_margin_is_taken_from_the_difference() -> None:
    # Margins 2 and -1, asked 1 and 0: (log(1 + e^-1) + log(1 + e)) / 2 = (0.313262 + 1.313262) / 2.
    found = reward_loss(
        torch.tensor([3.0, 0.0]), torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0])
    )
    assert found.loss.item() == pytest.approx(0.813262, abs=1e-6)
    assert found.margins.tolist() == [2.0, -1.0]  # what is told is the reward difference itself


def test_ranking_loss_of_three_worked_by_hand_and_of_two_is_the_pairwise_loss() -> None:
    # Rewards 2, 1, 0: choices 0.407606 (of three) and 0.313262 (of two).
    rewards = torch.tensor([[2.0, 1.0, 0.0], [3.0, 1.0, 9.0]], requires_grad=True)
    mask = torch.tensor([[True, True, True], [True, True, False]])
    found = ranking_loss(rewards, mask)
    second = reward_loss(torch.tensor([3.0]), torch.tensor([1.0])).loss.item()
    assert found.loss.item() == pytest.approx((0.407606 + 0.313262 + second) / 2, abs=1e-6)
    assert found.margins.tolist() == [1.0, 1.0, 2.0]
    found.loss.backward()
    assert rewards.grad is not None
    assert rewards.grad.isfinite().all()
    assert rewards.grad[1, 2] == 0  # padding


def test_lists_of_any_lengths_and_ties_have_gradients() -> None:
    lengths = torch.tensor([5, 2, 3])
    mask = torch.arange(5) < lengths[:, None]
    rewards = torch.ones(3, 5, requires_grad=True)  # all tied
    found = ranking_loss(rewards, mask)
    # Of n equal answers every ranking is as likely: log n!.
    expected = [math.log(math.factorial(n)) for n in (5, 2, 3)]
    assert found.loss.item() == pytest.approx(sum(expected) / 3, abs=1e-5)
    assert found.accuracy.item() == 0.0
    found.loss.backward()
    assert rewards.grad is not None
    assert rewards.grad.isfinite().all()
    assert rewards.grad[~mask].eq(0).all()


def test_the_likelihoods_of_all_rankings_of_a_list_sum_to_one() -> None:
    rewards = torch.tensor([0.3, -1.2, 2.0, 0.7])
    total = sum(
        math.exp(-ranking_loss(rewards[list(order)][None], torch.ones(1, 4).bool()).loss.item())
        for order in itertools.permutations(range(4))
    )
    assert total == pytest.approx(1.0, abs=1e-5)


def rewards_of(objective: DpoObjective) -> torch.Tensor:
    policy = torch.tensor([[-10.0], [-20.0]])
    reference = torch.tensor([[-12.0], [-17.0]])
    return implicit_rewards(policy, reference, torch.tensor([[4], [6]]), objective)


@pytest.mark.parametrize(
    ("objective", "loss", "margin"),
    [
        # beta ((-10 + 12) - (-20 + 17)) = 0.1 (2 + 3) = 0.5; log(1 + e^-0.5) = 0.474077.
        (DpoObjective("sigmoid", 0.1), 0.474077, 0.5),
        (DpoObjective("sigmoid", 0.1, 0.1), 0.9 * 0.474077 + 0.1 * 0.974077, 0.5),
        # Per token 2/4 + 3/6 = 1.
        (DpoObjective("sigmoid_norm", 0.1), math.log(1 + math.exp(-0.1)), 0.1),
        (DpoObjective("hinge", 0.1), 0.5, 0.5),
        (DpoObjective("ipo", 0.1), 16.0, 0.1),  # (1 - 1 / 0.2)^2
    ],
)
def test_dpo_losses_worked_by_hand(objective: DpoObjective, loss: float, margin: float) -> None:
    found = dpo_loss(rewards_of(objective), objective)
    assert found.loss.item() == pytest.approx(loss, abs=1e-5)
    assert found.margins.item() == pytest.approx(margin)


def test_cdpo_pulls_no_further_than_the_flipped_share_of_labels_allows() -> None:
    objective = DpoObjective("sigmoid", 0.1, label_smoothing=0.2)
    # Of preferences that hold with probability 0.8 the best margin is log(0.8 / 0.2).
    rewards = torch.tensor([[0.0], [-math.log(4)]], requires_grad=True)
    dpo_loss(rewards, objective).loss.backward()
    assert rewards.grad is not None
    assert rewards.grad.abs().max() < 1e-7


def test_the_likelihood_term_is_a_mean_over_answers_of_means_over_tokens() -> None:
    # 10 / 4 = 2.5 and 6 / 2 = 3: an answer counts once, however long, in whatever pass it lies.
    found = sft_loss(torch.tensor([-10.0, -6.0]), torch.tensor([4, 2]))
    assert found.item() == pytest.approx(2.75)


def test_dpo_gradient_pulls_both_answers_apart_by_beta_times_the_error() -> None:
    policy = torch.tensor([[-10.0], [-20.0]], requires_grad=True)
    reference = torch.tensor([[-12.0], [-17.0]])
    objective = DpoObjective("sigmoid", 0.1)
    rewards = implicit_rewards(policy, reference, torch.ones(2, 1), objective)
    dpo_loss(rewards, objective).loss.backward()
    error = 0.1 / (1 + math.exp(0.5))  # beta sigmoid(-margin), equation 7's gradient
    assert policy.grad is not None
    assert policy.grad.flatten().tolist() == pytest.approx([-error, error])


def test_calibration_worked_by_hand() -> None:
    # Confidences 0.8 (right) and 0.8 (wrong): one bin of accuracy 0.5; and one of 0.5 (a tie).
    margin = math.log(4)
    found = calibration(torch.tensor([margin, -margin, 0.0]))
    assert found["expected_calibration_error"] == pytest.approx((2 * 0.3 + 0.5) / 3)
    assert found["brier_score"] == pytest.approx((0.04 + 0.64 + 0.25) / 3)
    assert [part["n"] for part in found["bins"]] == [1, 2]
