"""Paired differences and win rates: Tango's interval as published, and the sparse case."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spavl.statistics import paired_difference, win_rate
from spavl.statistics.differences import tango_interval


def changed(up: int, down: int, n: int) -> tuple[list[float], list[float]]:
    same = n - up - down
    return [0.0] * up + [1.0] * down + [0.0] * same, [1.0] * up + [0.0] * down + [0.0] * same


@pytest.mark.parametrize(
    ("up", "down", "n", "low", "high"),
    [
        # Airway hyper-responsiveness before and after a transplantation (Bentur et al. 2009), as
        # worked in Fagerland, Lydersen and Laake's textbook on contingency tables.
        (1, 7, 21, -0.517, -0.026),
        # A prime minister's approval in two polls (Agresti, Categorical Data Analysis).
        (150, 86, 1600, 0.021, 0.059),
    ],
)
def test_tangos_interval_is_that_of_published_examples(
    up: int, down: int, n: int, low: float, high: float
) -> None:
    found = paired_difference(*changed(up, down, n))
    assert found.value == pytest.approx((up - down) / n)
    assert (found.low, found.high) == (
        pytest.approx(low, abs=5e-4),
        pytest.approx(high, abs=5e-4),
    )


def test_items_that_never_differ_have_wilsons_bound_both_ways() -> None:
    # With no change either way Tango's bound is z² / (n + z²).
    z2 = 1.959964**2
    found = paired_difference([1.0] * 30, [1.0] * 30)
    assert (found.value, found.high) == (0, pytest.approx(z2 / (30 + z2), rel=1e-5))
    assert found.low == pytest.approx(-found.high)


def test_one_loss_among_ties_does_not_narrow_the_interval() -> None:
    ties, one = win_rate([0.5] * 532), win_rate([0.5] * 531 + [0.0])
    assert one.low < ties.low
    assert one.high - one.low > ties.high - ties.low
    half = paired_difference([0.5] * 532, [0.5] * 531 + [0.0])
    none = paired_difference([0.5] * 532, [0.5] * 532)
    assert half.low < none.low
    assert half.high - half.low > none.high - none.low


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 200))
def test_the_models_may_change_places(up: int, down: int, same: int) -> None:
    n = up + down + same
    there, back = (
        paired_difference(*pair) for pair in (changed(up, down, n), changed(down, up, n))
    )
    if n:
        assert -1 <= there.low <= there.value <= there.high <= 1
        assert (there.low, there.high) == (pytest.approx(-back.high), pytest.approx(-back.low))


def test_a_win_rate_is_half_of_one_more_than_wins_less_losses() -> None:
    wins, losses, n = 30, 12, 100
    found = win_rate([1.0] * wins + [0.0] * losses + [0.5] * (n - wins - losses))
    low, high = tango_interval(np.array([30.0]), np.array([12.0]), np.array([100.0]), 0.95)
    assert (found.value, found.low, found.high) == (
        pytest.approx(0.59),
        pytest.approx((1 + low[0]) / 2),
        pytest.approx((1 + high[0]) / 2),
    )


def test_half_differences_have_about_half_the_width() -> None:
    whole = paired_difference(*changed(60, 40, 400))
    half = paired_difference([0.5] * 400, [1.0] * 60 + [0.0] * 40 + [0.5] * 300)
    assert half.value == pytest.approx(whole.value / 2)
    assert (half.high - half.low) / (whole.high - whole.low) == pytest.approx(0.5, abs=0.03)


def test_models_of_different_items_are_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        paired_difference([1.0], [1.0, 0.0])
