"""Intervals and paired tests against hand-worked numbers and their defining properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spavl.statistics import Estimate, mcnemar, mean, rate


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
    assert found == rate(50, 50)
    assert found.low < 0.95


def test_a_model_against_itself_is_one_half_exactly() -> None:
    assert mean([0.5] * 50, seed=1) == Estimate(0.5, 0.5, 0.5, 50)


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
