"""Statistics over seeds and items, against hand-worked figures and by simulation."""

import math

import numpy as np
import pytest

from components.ablation.testing import (
    Evidence,
    Mean,
    difference,
    evidence,
    joined,
    seeded_mean,
    verdicts,
)

SEEDS, ITEMS = 5, 200


def crossed(rng: np.random.Generator, rate: float, of_seeds: float, of_items: float) -> np.ndarray:
    """Yes and no by a rate that seeds and items move: float `[seeds, items]`."""
    moved = rng.normal(0, of_seeds, (SEEDS, 1)) + rng.normal(0, of_items, (1, ITEMS))
    return (rng.random((SEEDS, ITEMS)) < np.clip(rate + moved, 0, 1)).astype(float)


def test_a_mean_by_hand() -> None:
    found = seeded_mean(np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]))
    # Means of seeds 1/3 and 2/3: variance 1/18, over 2. Of items 0, 1/2, 1: variance 1/4, over 3.
    assert found.value == pytest.approx(0.5)
    assert found.error == pytest.approx(math.sqrt(1 / 36 + 1 / 12))
    assert found.freedom == pytest.approx((1 / 9) ** 2 / ((1 / 36) ** 2 / 1 + (1 / 12) ** 2 / 2))
    low, high = found.interval()
    assert low + high == pytest.approx(1)


def test_equal_scores_claim_no_certainty() -> None:
    low, high = seeded_mean(np.zeros((3, 50))).interval()
    assert low < 0 < high
    assert high == pytest.approx(0.0636, abs=0.005)  # the bound of 0 in 50


def test_what_has_no_seeds_is_compared_with_every_seed() -> None:
    base = np.array([[1.0, 0.0, 1.0, 1.0]])
    trained = np.array([[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    assert difference(trained, base).value == pytest.approx(-0.5)


def test_intervals_of_differences_hold_the_truth_in_at_least_93_of_100() -> None:
    rng, held, trials = np.random.default_rng(3), 0, 400
    for _ in range(trials):
        both = rng.normal(0, 0.15, (1, ITEMS))
        sides = [
            np.clip(rate + both + rng.normal(0, 0.03, (SEEDS, 1)), 0, 1) for rate in (0.35, 0.45)
        ]
        first, second = ((rng.random((SEEDS, ITEMS)) < side).astype(float) for side in sides)
        low, high = difference(first, second).interval()
        held += low <= -0.1 <= high
    assert held / trials >= 0.93


def test_a_planted_null_is_seldom_called_an_effect_and_a_planted_effect_is_found() -> None:
    rng, trials = np.random.default_rng(4), 200
    wrong = found = 0
    for _ in range(trials):
        one, same, worse = (crossed(rng, rate, 0.02, 0.1) for rate in (0.3, 0.3, 0.45))
        null = evidence(difference(one, same), "lower", 0.05)
        effect = evidence(difference(one, worse), "lower", 0.05)
        first, second = verdicts([null, effect])
        wrong += first.outcome != "undecided"
        found += second.outcome == "supported"
    assert wrong / trials <= 0.07  # 5% are allowed, both sides together
    assert found / trials >= 0.9


MEAN = Mean(value=-0.1, error=0.04, freedom=1e9, seeds=5, items=100)


def test_directions_by_hand() -> None:
    # z = -2.5: one-sided 0.00621.
    assert evidence(MEAN, "lower", 0.05).supports == pytest.approx(0.00621, abs=1e-5)
    assert evidence(MEAN, "higher", 0.05).contradicts == pytest.approx(0.00621, abs=1e-5)
    # Alike within 0.05: z against -0.05 is -1.25; p of inside 0.894, of outside 2 x 0.1056.
    alike = evidence(MEAN, "alike", 0.05)
    assert alike.supports == pytest.approx(0.8944, abs=1e-4)
    assert alike.contradicts == pytest.approx(0.2113, abs=1e-4)
    assert evidence(Mean(0.0, 0.01, 1e9, 5, 100), "alike", 0.05).supports < 1e-6


def test_all_comparisons_must_hold_and_any_contradicts() -> None:
    both = joined([Evidence(0.001, 0.999), Evidence(0.4, 0.6)])
    assert (both.supports, both.contradicts) == (0.4, 1.0)
    assert joined([Evidence(0.999, 0.001), Evidence(0.01, 0.99)]).contradicts == 0.002


def test_holm_stands_over_the_outcomes() -> None:
    told = verdicts([Evidence(0.02, 0.98), Evidence(0.001, 0.999), Evidence(0.999, 0.001)])
    assert [each.outcome for each in told] == ["undecided", "supported", "not supported"]
    assert told[0].supports == pytest.approx(0.04)
    assert verdicts([Evidence(0.02, 0.98)])[0].outcome == "supported"
