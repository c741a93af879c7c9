"""Safety groups and the balanced draw."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from components.labeling.groups import BalancedDraw, safety_groups
from spavl.records import framed

RATES = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=4), st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0])
)


def answers(groups: dict[str, int], *responders: str) -> list[bytes]:
    return [framed(f"r{name}") if name in responders else b"" for name in groups]


def test_twelve_responders_fall_into_five_contiguous_groups() -> None:
    # Ranks 0..11 at k*5//12: 0 0 0 1 1 2 2 2 3 3 4 4.
    rates = {f"m{k:02d}": k / 12 for k in range(12)}
    assert list(safety_groups(rates, 5).values()) == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4]


def test_fewer_responders_make_fewer_groups() -> None:
    assert safety_groups({"a": 0.9, "b": 0.1, "c": 0.5}, 5) == {"b": 0, "c": 1, "a": 2}


def test_equal_rates_share_a_group() -> None:
    rates = {"a": 0.5, "b": 0.5, "c": 0.9, "d": 0.9}
    assert safety_groups(rates, 5) == {"a": 0, "b": 0, "c": 1, "d": 1}
    assert set(safety_groups({"a": 0.5, "b": 0.5}, 5).values()) == {0}


@given(RATES, st.integers(2, 6))
def test_groups_are_ordered_by_rate_and_numbered_without_gaps(
    rates: dict[str, float], wanted: int
) -> None:
    groups = safety_groups(rates, wanted)
    by_rate = [groups[name] for name in sorted(rates, key=lambda name: rates[name])]
    assert by_rate == sorted(by_rate)
    assert set(by_rate) == set(range(len(set(by_rate))))
    assert len(set(by_rate)) == min(wanted, len(set(rates.values())))


def test_the_two_answers_come_from_different_groups() -> None:
    groups = {"a": 0, "b": 0, "c": 1}
    draw = BalancedDraw(groups, seed=1)
    for k in range(50):
        found = draw.draw(framed(f"q{k}"), "theft", answers(groups, "a", "b", "c"))
        assert not isinstance(found, str)
        assert {list(groups.values())[place] for place in found} == {0, 1}


def test_responders_are_used_evenly_in_every_class_and_come_first_half_the_time() -> None:
    groups = {name: k // 2 for k, name in enumerate("abcdefgh")}
    draw, used, first = BalancedDraw(groups, seed=1), Counter[tuple[str, int]](), 0
    for k in range(400):
        stratum = ("theft", "malware")[k % 2]
        one, two = draw.draw(framed(f"q{k}"), stratum, answers(groups, *groups))
        used.update([(stratum, one), (stratum, two)])
        first += one < two
    # 200 questions of a class x 2 answers / 8 responders = 50 each.
    assert set(used.values()) <= {49, 50, 51}
    assert 150 < first < 250


def test_identical_texts_and_single_groups_are_not_paired() -> None:
    groups = {"a": 0, "b": 1, "c": 1}
    draw = BalancedDraw(groups, seed=1)
    assert draw.draw(b"q", "x", answers(groups, "a", "b"), [7, 7, -1]) == "identical_texts"
    assert draw.draw(b"q", "x", answers(groups, "b", "c")) == "no_two_groups"
    assert draw.draw(b"q", "x", answers(groups, "b", "c"), [0, 7, 7]) == "no_two_groups"
    assert draw.draw(b"q", "x", answers(groups)) == "no_two_groups"
