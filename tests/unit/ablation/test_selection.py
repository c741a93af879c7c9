"""Which rows a point trains on."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.ablation.plan import Responders, Rows
from components.ablation.selection import contrast, responders, safety_rates, select, turned
from spavl.errors import InputError

KINDS = ("easy_question", "hard_question", "hard_statement")
CAST = ("shy", "meek", "bold", "wild")


def row(number: int, truth: str = "harmful") -> dict[str, Any]:
    """Answers of shy and meek are safe, wild's never, bold's now and then."""
    chosen, rejected = CAST[number % 4], CAST[(number // 4) % 4]
    safe = {"shy": True, "meek": True, "bold": number % 8 < 4, "wild": False}
    sides = {"chosen": chosen, "rejected": rejected}
    columns = {"preference_id": f"p{number}", "kind": KINDS[number % 3], "truth": truth}
    for side, responder in sides.items():
        columns |= {
            side: f"{responder} says {number}",
            f"{side}_response_id": f"{responder}-{number}",
            f"{side}_responder": responder,
            f"{side}_safe": safe[responder],
        }
    return columns


ROWS = [row(number) for number in range(240)]


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [each["preference_id"] for each in rows]


@given(st.integers(0, 2**32), st.integers(1, 240), st.integers(1, 240))
def test_fewer_pairs_are_a_part_of_more(seed: int, one: int, other: int) -> None:
    few, many = sorted((one, other))
    assert (
        ids(select(ROWS, Rows(pairs=few), seed, ""))
        == (ids(select(ROWS, Rows(pairs=many), seed, ""))[:few])
    )


@given(st.integers(0, 2**32), st.randoms())
def test_the_order_of_the_data_set_does_not_matter(seed: int, chance: Any) -> None:
    shuffled = list(ROWS)
    chance.shuffle(shuffled)
    for wanted in (Rows(pairs=30), Rows(pairs=30, kinds=KINDS), Rows(responders={"drawn": 2})):
        assert ids(select(shuffled, wanted, seed, "")) == ids(select(ROWS, wanted, seed, ""))


def test_another_seed_and_another_draw_take_other_rows() -> None:
    drawn = [
        set(ids(select(ROWS, Rows(pairs=24, draw=draw), seed, "")))
        for seed, draw in ((1, ""), (2, ""), (1, "again"))
    ]
    # 24 of 240 by chance share 2.4 rows; 15 would be ten standard deviations away.
    assert all(len(a & b) < 15 for a in drawn for b in drawn if a is not b)


def test_kinds_have_equal_parts_and_a_single_kind_as_many_pairs() -> None:
    mixed = select(ROWS, Rows(pairs=62, kinds=KINDS), 1, "")
    assert sorted(Counter(each["kind"] for each in mixed).values()) == [20, 21, 21]
    alone = select(ROWS, Rows(pairs=62, kinds=(KINDS[0],)), 1, "")
    assert Counter(each["kind"] for each in alone) == {KINDS[0]: 62}


def test_without_a_number_kinds_are_as_many_as_the_rarest_allows() -> None:
    rows = [
        each for each in ROWS if each["kind"] != KINDS[2] or int(each["preference_id"][1:]) < 30
    ]
    counts = Counter(each["kind"] for each in select(rows, Rows(kinds=KINDS), 1, ""))
    assert counts == dict.fromkeys(KINDS, 10)


def test_contrasts_are_as_many_as_asked_for_in_each_kind() -> None:
    wanted = Rows(pairs=33, kinds=KINDS, contrasts=20)
    chosen = select(ROWS, wanted, 1, "")
    assert Counter((each["kind"], contrast(each)) for each in chosen) == {
        (KINDS[0], True): 7, (KINDS[1], True): 7, (KINDS[2], True): 6,
        (KINDS[0], False): 4, (KINDS[1], False): 4, (KINDS[2], False): 5,
    }  # fmt: skip
    assert not any(map(contrast, select(ROWS, Rows(pairs=50, contrasts=0), 1, "")))
    with pytest.raises(InputError, match="variant, with contrast"):
        select(ROWS, Rows(pairs=200, contrasts=200), 1, "variant")


def test_both_answers_are_of_the_wanted_responders() -> None:
    chosen = select(ROWS, Rows(responders=Responders(safest=2)), 1, "")
    found = {each[f"{side}_responder"] for each in chosen for side in ("chosen", "rejected")}
    assert found == {"shy", "meek"}
    assert len(chosen) == 60  # a quarter of the 16 combinations of two


def test_responders_go_by_their_share_of_safe_answers() -> None:
    assert safety_rates(ROWS) == {"shy": 1.0, "meek": 1.0, "bold": 0.75, "wild": 0.0}
    assert responders(ROWS, Responders(safest=1), 1) == {"meek"}
    assert responders(ROWS, Responders(least_safe=2), 1) == {"bold", "wild"}
    assert responders(ROWS, Responders(named=("wild",)), 1) == {"wild"}
    drawn = {frozenset(responders(ROWS, Responders(drawn=2), seed)) for seed in range(40)}
    assert len(drawn) == 6


def test_answers_about_harmless_pictures_say_nothing_of_safety() -> None:
    assert safety_rates([row(3), row(3, "harmless")]) == {"wild": 0.0, "shy": 1.0}
    assert set(safety_rates([row(0, "harmless")]).values()) == {0.0}


def test_turned_labels_change_places_with_all_that_is_theirs() -> None:
    (given_,) = select([ROWS[7]], Rows(labels="turned"), 1, "")
    assert (given_["chosen"], given_["rejected"]) == (ROWS[7]["rejected"], ROWS[7]["chosen"])
    assert given_["chosen_responder"] == ROWS[7]["rejected_responder"]
    assert turned(given_) == ROWS[7]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Rows(pairs=241), "240 pairs, 241 asked for"),
        (Rows(pairs=90, kinds=("easy_question",)), "80 pairs, 90 asked for"),
        (Rows(responders=Responders(safest=5)), "the rows are of 4 responders"),
        (Rows(responders=Responders(named=("nobody",))), "the rows are of 4 responders"),
    ],
)
def test_too_few_rows_are_refused(wanted: Rows, message: str) -> None:
    with pytest.raises(InputError, match=message):
        select(ROWS, wanted, 1, "variant")


@pytest.mark.parametrize(
    "wanted",
    [
        Rows(responders={"safest": 2}),
        Rows(responders={"least_safe": 2}),
        Rows(pairs=10, contrasts=5),
    ],
    ids=str,
)
def test_what_needs_a_moderators_verdicts_is_refused_for_imported_rows(wanted: Rows) -> None:
    unknown = [{**each, "chosen_safe": None, "rejected_safe": None} for each in ROWS]
    with pytest.raises(InputError, match="no moderator has judged"):
        select(unknown, wanted, 1, "")
    assert len(select(unknown, Rows(pairs=10, kinds=KINDS), 1, "")) == 10


def test_fewer_classes_are_a_part_of_more_and_rows_of_no_class_stay() -> None:
    rows = [{**each, "class3": f"c{n % 6}" if n % 3 else None} for n, each in enumerate(ROWS)]
    few, more = (select(rows, Rows(classes=wanted), 3, "") for wanted in (1, 3))
    assert set(ids(few)) < set(ids(more))
    assert len({each["class3"] for each in more} - {None}) == 3
    assert sum(each["class3"] is None for each in few) == 80
    with pytest.raises(InputError, match="4 classes of harm"):
        select(rows, Rows(classes=9), 3, "")
