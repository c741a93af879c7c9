"""Intervals and paired tests against hand-worked numbers and their defining properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spavl.statistics import Estimate, agreement, holm, mcnemar, mean, paired_difference, rate


def test_wilson_interval_matches_the_formula_worked_by_hand() -> None:
    # 8 of 10, z = 1.959964: centre (0.8 + z²/20) / (1 + z²/10) = 0.716740,
    # half width z * sqrt(0.8*0.2/10 + z²/400) / (1 + z²/10) = 0.226578.
    found = rate(8, 10)
    assert found.value == 0.8
    assert (found.low, found.high) == (
        pytest.approx(0.490162, abs=1e-5),
        pytest.approx(0.943318, abs=1e-5),
    )


def test_no_hits_still_leave_an_upper_bound_above_zero() -> None:
    # Wilson's upper bound at 0 of n is z² / (n + z²).
    z2 = 1.959964**2
    found = rate(0, 265)
    assert found.low == pytest.approx(0, abs=1e-12)
    assert found.high == pytest.approx(z2 / (265 + z2), rel=1e-5)


def test_no_items_give_no_figure() -> None:
    assert rate(0, 0) == mean([], seed=1) == Estimate(None, None, None, 0)


def test_more_hits_than_items_are_refused() -> None:
    with pytest.raises(ValueError, match="k"):
        rate(3, 2)


@given(st.integers(1, 500), st.data())
def test_an_interval_holds_its_value(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    found = rate(hits, n)
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1


def test_bootstrap_agrees_with_the_normal_interval_of_many_items() -> None:
    scores = np.random.default_rng(3).choice([0, 0.5, 1], size=1000, p=[0.2, 0.5, 0.3])
    found = mean(scores.tolist(), seed=1)
    half = 1.96 * scores.std() / math.sqrt(1000)
    assert found.low == pytest.approx(scores.mean() - half, abs=0.004)
    assert found.high == pytest.approx(scores.mean() + half, abs=0.004)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    trials, covered = 200, 0
    for trial in range(trials):
        found = mean(
            rng.choice([0, 0.5, 1], size=120, p=[0.3, 0.3, 0.4]).tolist(), trial, resamples=400
        )
        covered += found.low <= 0.55 <= found.high
    # 95% nominal; three standard deviations of a binomial of 200 are 4.6 points.
    assert 0.89 <= covered / trials <= 0.995


def test_bootstrap_repeats_itself_with_a_seed() -> None:
    scores = np.random.default_rng(2).random(100).tolist()
    assert mean(scores, seed=7) == mean(scores, seed=7)
    assert mean(scores, seed=7) != mean(scores, seed=8)


def test_all_wins_are_not_reported_as_certain() -> None:
    found = mean([1.0] * 50, seed=1)
    assert found.low == pytest.approx(rate(50, 50).low)
    assert (found.value, found.high) == (1, 1)
    assert found.low < 0.95


def test_ties_alone_leave_room_for_wins_and_losses_that_were_not_seen() -> None:
    unseen = rate(0, 50).high or 0
    found = mean([0.5] * 50, seed=1)
    assert (found.value, found.low, found.high) == (0.5, 0.5 - unseen / 2, 0.5 + unseen / 2)


def test_mcnemar_is_the_binomial_test_of_the_items_that_differ() -> None:
    # 1 against 7 discordant of 20: p = 2 * (C(8,0) + C(8,1)) / 2^8 = 18 / 256.
    first = [True] * 1 + [False] * 7 + [True] * 5 + [False] * 7
    second = [False] * 1 + [True] * 7 + [True] * 5 + [False] * 7
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second, found.n) == (1, 7, 20)
    assert found.p_value == pytest.approx(18 / 256)


def test_mcnemar_of_equal_outcomes_is_one() -> None:
    assert mcnemar([True, False], [True, False]).p_value == 1.0


def test_mcnemar_refuses_outcomes_of_different_items() -> None:
    with pytest.raises(ValueError, match="shorter"):
        mcnemar([True, False], [True])


def test_holm_matches_the_steps_worked_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1 gives 0.04, 0.06, 0.06, 0.04; never falling.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(before <= after <= 1 for before, after in zip(p_values, adjusted, strict=True))
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)


def test_a_paired_difference_is_narrower_than_two_rates_apart() -> None:
    first = [1.0] * 60 + [0.0] * 40
    second = [1.0] * 50 + [0.0] * 50  # the same items but for ten
    found = paired_difference(first, second, seed=1)
    assert found.value == pytest.approx(-0.1)
    assert -0.18 < found.low < found.high < -0.03  # apart: about -0.24 to 0.04


def test_items_that_never_differ_leave_room_both_ways() -> None:
    found = paired_difference([1.0] * 20, [1.0] * 20, seed=1)
    assert (found.value, found.low) == (0.0, pytest.approx(-(rate(0, 20).high or 0)))
    assert paired_difference([0.0] * 20, [1.0] * 20, seed=1).high == 1.0


def covered(intervals: list[Estimate], truth: float) -> float:
    inside = [each.low <= truth <= each.high for each in intervals]
    return sum(inside) / len(inside)


@pytest.mark.parametrize(("n", "truth"), [(265, 0.44), (265, 0.05), (168, 0.2), (53, 0.5)])
def test_wilson_covers_the_truth_as_often_as_it_says(n: int, truth: float) -> None:
    hits = np.random.default_rng(1).binomial(n, truth, size=4000)
    by_hits = {int(k): rate(int(k), n) for k in set(hits)}
    assert 0.93 <= covered([by_hits[int(k)] for k in hits], truth) <= 0.97


def test_the_bootstraps_cover_the_truth_as_often_as_they_say() -> None:
    chance, wins, changes = np.random.default_rng(2), [], []
    for seed in range(600):
        scores = chance.choice([0.0, 0.5, 1.0], size=120, p=[0.2, 0.5, 0.3])  # mean 0.55
        wins.append(mean(scores.tolist(), seed, resamples=400))
        base = chance.random(120) < 0.45
        kept = base & (chance.random(120) < 0.5)  # half of the harm is gone: 0.225
        pair = (base.astype(float).tolist(), kept.astype(float).tolist())
        changes.append(paired_difference(*pair, seed, resamples=400))
    assert 0.93 <= covered(wins, 0.55) <= 0.97
    assert 0.93 <= covered(changes, -0.225) <= 0.97


def test_agreement_of_two_judges_worked_by_hand() -> None:
    # 20 both yes, 5 and 10 apart, 15 both no: raw 35/50 = 0.7; by chance 0.5*0.6 + 0.5*0.4 = 0.5.
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    found = agreement(pairs, seed=1)
    assert found.raw.value == 0.7
    assert found.kappa.value == pytest.approx(0.4)
    # The delta method gives a standard error of 0.129: about 0.15 to 0.65.
    assert found.kappa.low == pytest.approx(0.15, abs=0.05)
    assert found.kappa.high == pytest.approx(0.65, abs=0.05)


def test_judges_that_always_agree_may_still_differ_on_what_they_have_not_seen() -> None:
    found = agreement([("y", "y")] * 6 + [("n", "n")] * 6, seed=1)
    # Chance is one half; Wilson's lower bound of 12 in 12 is 12 / (12 + z²) = 0.757506.
    assert (found.kappa.value, found.kappa.high) == (1.0, 1.0)
    assert found.kappa.low == pytest.approx(2 * 0.757506 - 1, abs=1e-5)


def test_judges_that_both_say_one_thing_have_no_kappa() -> None:
    found = agreement([("y", "y")] * 9, seed=1)
    assert (found.raw.value, found.kappa.value, found.kappa.n) == (1.0, None, 9)
