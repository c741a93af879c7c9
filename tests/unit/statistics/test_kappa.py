"""Cohen's kappa and its interval, against numbers worked by hand."""

import numpy as np
import pytest

from spavl.statistics import agreement
from spavl.statistics.kappa import influence


def test_agreement_of_two_judges_worked_by_hand() -> None:
    # 20 both yes, 5 and 10 apart, 15 both no: raw 35/50 = 0.7; by chance 0.5*0.6 + 0.5*0.4 = 0.5.
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    found = agreement(pairs)
    assert found.raw.value == 0.7
    assert found.kappa.value == pytest.approx(0.4)
    # The delta method gives a standard error of 0.129: about 0.15 to 0.65.
    assert found.kappa.low == pytest.approx(0.15, abs=0.05)
    assert found.kappa.high == pytest.approx(0.65, abs=0.05)


def test_the_influence_of_items_gives_the_delta_methods_variance() -> None:
    # Fleiss, Cohen and Everitt's example (1969) of three diagnoses: 0.429, standard error 0.0540.
    shares = np.array([[0.53, 0.05, 0.02], [0.11, 0.14, 0.05], [0.01, 0.06, 0.03]])
    found = influence(shares[None] * 1e9)[0]
    assert (shares * found).sum() == pytest.approx(0, abs=1e-6)
    assert ((shares * found**2).sum() / 200) ** 0.5 == pytest.approx(0.0540, abs=5e-4)


def test_judges_that_always_agree_may_still_differ_on_what_they_have_not_seen() -> None:
    found = agreement([("y", "y")] * 60 + [("n", "n")] * 60)
    assert (found.kappa.value, found.kappa.high) == (1.0, 1.0)
    # Chance is one half: twice the bound of no disagreement in 120.
    assert found.kappa.low == pytest.approx(1 - 2 * (1 - 0.0375 ** (1 / 120)), abs=0.01)


@pytest.mark.parametrize(
    "pairs",
    [
        [("y", "n")] + [("n", "n")] * 19,
        [("y", "n"), ("n", "y")] + [("n", "n")] * 18,
        [("y", "n")] * 5 + [("n", "y")] * 5,
        [("y", "y")] + [("n", "n")] * 19,
    ],
)
def test_kappa_is_never_certain(pairs: list[tuple[str, str]]) -> None:
    found = agreement(pairs).kappa
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0.1


def test_answers_to_one_question_tell_less_of_the_judges() -> None:
    pairs = ([("y", "y")] * 5 + [("n", "n")] * 5) * 8 + [("y", "n")] * 20
    alone, shared = agreement(pairs), agreement(pairs, [(f"q{i // 10}",) for i in range(100)])
    assert shared.kappa.high - shared.kappa.low > alone.kappa.high - alone.kappa.low


def test_judges_that_both_say_one_thing_have_no_kappa() -> None:
    found = agreement([("y", "y")] * 9)
    assert (found.raw.value, found.kappa.value, found.kappa.n) == (1.0, None, 9)
