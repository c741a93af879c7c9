"""Figures over several trainings: the interval has their seeds in it."""

import numpy as np
import pytest

from spavl.statistics import mean, rate, seeded_mean


def test_one_seed_speaks_of_its_own_training_alone() -> None:
    scores = [1.0] * 10 + [0.0] * 40
    assert seeded_mean([scores]) == mean(scores)


def test_seeds_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    alike = (rng.random((3, 300)) < 0.3).astype(float)
    apart = (rng.random((3, 300)) < np.array([[0.1], [0.3], [0.5]])).astype(float)
    same, other = seeded_mean(alike.tolist()), seeded_mean(apart.tolist())
    # Seeds 0.1, 0.3 and 0.5: an error of 0.115 with two degrees of freedom takes most of [0, 1].
    assert other.high - other.low > 3 * (same.high - same.low)
    assert other.low < 0.1


def test_no_hits_of_any_seed_leave_the_items_bound() -> None:
    assert seeded_mean([[0.0] * 50] * 3).high == pytest.approx(rate(0, 50).high)


def test_seeds_of_different_items_are_refused() -> None:
    with pytest.raises(ValueError, match="different items"):
        seeded_mean([[1.0], [1.0, 0.0]])
