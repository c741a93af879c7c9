"""McNemar's test and Holm's correction against numbers worked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spavl.statistics import holm, mcnemar


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
