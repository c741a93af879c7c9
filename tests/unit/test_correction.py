"""A judge's errors go into its rates: the truth comes back, and the interval holds it."""

import numpy as np
import pytest

from spavl.correction import JudgeErrors, corrected_rate, errors_by_labels


def test_errors_are_counted_by_what_people_say() -> None:
    labels = [(True, True), (True, False), (False, False), (False, False), (False, True)]
    found = errors_by_labels(labels)
    assert found == JudgeErrors(1, 2, 2, 3)
    told = found.told()
    assert (told["sensitivity"]["value"], told["specificity"]["value"]) == (0.5, 2 / 3)


def test_the_correction_is_what_one_works_out_by_hand() -> None:
    # q = 0.3, se = 0.8, sp = 0.9: (0.3 + 0.9 - 1) / (0.8 + 0.9 - 1) = 0.2 / 0.7.
    found = corrected_rate(30, 100, JudgeErrors(80, 100, 90, 100))
    assert found is not None
    assert found.value == pytest.approx(2 / 7)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 2 / 7 < found.high


def test_the_interval_is_lang_and_reiczigels_worked_by_hand() -> None:
    # Of 20 in 100, 45 in 50 and 95 in 100: q' 0.2111 of 103.84, se' 46/52, sp' 96/102, p' 0.1844;
    # shift -0.0006, error 0.0546: 0.1838 and 1.96 of it either way.
    found = corrected_rate(20, 100, JudgeErrors(45, 50, 95, 100))
    assert found is not None
    assert (found.low, found.high) == (
        pytest.approx(0.0768, abs=1e-4),
        pytest.approx(0.2908, abs=1e-4),
    )


def test_without_labels_of_both_kinds_nothing_is_told() -> None:
    assert corrected_rate(30, 100, JudgeErrors(0, 0, 90, 100)) is None
    assert corrected_rate(30, 100, JudgeErrors(80, 100, 0, 0)) is None
    assert corrected_rate(0, 0, JudgeErrors(80, 100, 90, 100)) is None


def test_a_judge_no_better_than_chance_tells_nothing() -> None:
    found = corrected_rate(30, 100, JudgeErrors(50, 100, 50, 100))
    assert found is not None
    assert (found.value, found.low, found.high) == (None, 0.0, 1.0)


def test_fewer_labels_make_a_wider_interval() -> None:
    widths = []
    for n in (20, 200, 2000):
        found = corrected_rate(300, 1000, JudgeErrors(n * 4 // 5, n, n * 9 // 10, n))
        assert found is not None
        assert found.high is not None
        assert found.low is not None
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 2 * widths[2]


@pytest.mark.parametrize("truth", [0.02, 0.3, 0.8])
@pytest.mark.parametrize(("n", "labelled"), [(50, 40), (532, 220)])
def test_the_interval_holds_the_truth(truth: float, n: int, labelled: int) -> None:
    se, sp, draws = 0.85, 0.92, 1000
    generator = np.random.default_rng(7)
    hits = generator.binomial(n, truth * se + (1 - truth) * (1 - sp), draws)
    found, spared = generator.binomial(labelled, se, draws), generator.binomial(labelled, sp, draws)
    held = 0
    for q, a, b in zip(hits.tolist(), found.tolist(), spared.tolist(), strict=True):
        told = corrected_rate(q, n, JudgeErrors(a, labelled, b, labelled))
        assert told is not None
        assert told.low is not None
        assert told.high is not None
        held += told.low <= truth <= told.high
    assert held / draws >= 0.93
