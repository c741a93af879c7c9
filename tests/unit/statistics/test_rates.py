"""Rates and means against closed forms, scipy's exact interval, and their defining properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from spavl.statistics import Estimate, clustered_rate, mean, rate, worth
from spavl.statistics.rates import binomial_interval


def test_no_hits_have_the_bound_of_the_closed_form() -> None:
    # (2/3) * (1 - p)^n = 0.025 at the upper bound.
    assert rate(0, 265).high == pytest.approx(1 - 0.0375 ** (1 / 265), abs=1e-9)
    assert (rate(0, 265).value, rate(0, 265).low) == (0, 0)
    assert (rate(20, 20).high, rate(20, 20).low) == (1, pytest.approx(0.0375 ** (1 / 20)))


def test_the_lower_bound_solves_its_equation() -> None:
    low = rate(8, 10).low
    tail = binom.sf(8, 10, low) + 2 / 3 * binom.pmf(8, 10, low)
    assert tail == pytest.approx(0.025, abs=1e-9)


def test_no_items_give_no_figure() -> None:
    assert rate(0, 0) == mean([]) == Estimate(None, None, None, 0)


def test_more_hits_than_items_are_refused() -> None:
    with pytest.raises(ValueError, match="3 hits of 2"):
        rate(3, 2)


@given(st.integers(1, 500), st.data())
def test_an_interval_holds_its_value_inside_the_exact_one(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    found, exact = rate(hits, n), binomtest(hits, n).proportion_ci(0.95, "exact")
    assert exact.low - 1e-9 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= exact.high + 1e-9


@pytest.mark.parametrize("n", [20, 30, 50, 100, 250, 532])
def test_coverage_is_at_least_93_in_100_at_every_rate(n: int) -> None:
    hits = np.arange(n + 1.0)
    low, high = binomial_interval(hits, np.full(n + 1, float(n)), 0.95)
    for p in np.linspace(0.0005, 0.9995, 1999):
        covered = binom.pmf(hits, n, p)[(low <= p) & (p <= high)].sum()
        assert covered >= 0.93, p


def test_scores_of_yes_and_no_are_a_rate() -> None:
    assert mean([1.0] * 7 + [0.0] * 33) == rate(7, 40)


def test_scores_between_are_known_better_than_yes_and_no() -> None:
    between, binary = mean([0.25, 0.75] * 50), rate(50, 100)
    assert 0.4 < (between.high - between.low) / (binary.high - binary.low) < 0.6


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_equal_scores_are_not_reported_as_certain(score: float) -> None:
    found = mean([score] * 50)
    assert found.high - found.low > 0.05


@pytest.mark.parametrize("hits", [0, 3, 40, 100])
def test_a_rate_of_independent_items_is_worth_them_all(hits: int) -> None:
    assert worth(rate(hits, 100)) == pytest.approx(100, rel=1e-4)


def test_a_rate_in_clusters_is_worth_less() -> None:
    found = clustered_rate([1.0] * 50 + [0.0] * 50, [(f"p{i // 10}",) for i in range(100)])
    assert 5 < worth(found) < 15
