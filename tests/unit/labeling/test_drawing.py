"""Pairs: never of an answer with itself or across questions, whatever the answers are."""

import hashlib
from collections import Counter

import numpy as np
import pyarrow
from hypothesis import given, settings
from hypothesis import strategies as st

from components.labeling.drawing import ANSWERED, ASKED, Block, draw_block
from components.labeling.groups import BalancedDraw
from spavl.records import Pair, framed, record_id, schema_of

TEXT = pyarrow.string()

RESPONDERS = {name: place // 2 for place, name in enumerate("abcdefg")}
ANSWERS = st.lists(
    st.dictionaries(
        st.sampled_from(sorted(RESPONDERS)), st.sampled_from(["yes", "no", " no", "?"])
    ),
    max_size=12,
)


def block(given_: list[dict[str, str]]) -> Block:
    count = len(given_)
    asked = {
        "question_id": [f"q{row}" for row in range(count)],
        "image_id": [f"i{row // 3}" for row in range(count)],
        "kind": ["easy_question"] * count,
        "question": [f"What? {row}" for row in range(count)],
        "truth": ["harmful"] * count,
        "thing": [None] * count,
        "class3": [("theft", None)[row % 2] for row in range(count)],
    }
    answers = [
        (row, f"q{row}-{name}", name, text, True)
        for row, every in enumerate(given_)
        for name, text in every.items()
    ]
    row, *columns = zip(*answers, strict=True) if answers else [[]] * 5
    kinds = (TEXT, TEXT, TEXT, pyarrow.bool_())
    arrays = [pyarrow.array(each, kind) for each, kind in zip(columns, kinds, strict=True)]
    table = pyarrow.table(arrays, names=list(ANSWERED))
    schema = pyarrow.schema([(name, TEXT) for name in ASKED])
    return Block(pyarrow.table(asked, schema), table, np.array(row, np.int64))


@given(ANSWERS, st.integers(1, 3), st.integers(0, 9))
@settings(deadline=None)
def test_pairs_are_of_two_answers_to_one_question(
    given_: list[dict[str, str]], wanted: int, seed: int
) -> None:
    table, unpaired = draw_block(block(given_), BalancedDraw(RESPONDERS, seed), wanted)
    assert table.schema == schema_of(Pair)
    pairs = table.to_pydict()
    sides = [pairs[f"{side}_response_id"] for side in ("first", "second")]
    for question_id, first, second in zip(pairs["question_id"], *sides, strict=True):
        assert first != second
        assert first.split("-")[0] == second.split("-")[0] == question_id
    used = [*sides[0], *sides[1]]
    assert len(used) == len(set(used))  # no answer is in two pairs
    for one, two in zip(pairs["first_responder"], pairs["second_responder"], strict=True):
        assert RESPONDERS[one] != RESPONDERS[two]
    assert all(a.strip() != b.strip() for a, b in zip(pairs["first"], pairs["second"], strict=True))
    paired = set(pairs["question_id"])
    assert paired | {each.question_id for each in unpaired} == {
        f"q{row}" for row in range(len(given_))
    }
    assert not paired & {each.question_id for each in unpaired}


def test_why_a_question_has_no_pair_is_told() -> None:
    given_ = block([{"a": "yes"}, {"a": "no", "g": " no"}, {"a": "yes", "g": "no"}])
    pairs, unpaired = draw_block(given_, BalancedDraw(RESPONDERS, 1), 1)
    assert pairs["question_id"].to_pylist() == ["q2"]
    assert [tuple(each) for each in unpaired] == [
        ("q0", "no_two_groups", 1), ("q1", "identical_texts", 2),
    ]  # fmt: skip


def drawn_plainly(given_: list[dict[str, str]], seed: int) -> list[tuple[str, str]]:
    """The draw as it is described, looking at every pair; ids of both answers, as shown."""
    used: Counter[str] = Counter()
    in_class: Counter[tuple[int, str]] = Counter()
    drawn = []
    for row, answers in enumerate(given_):

        def cost(pair, row=row):
            return [sum(in_class[row % 2, name] for name in pair), sum(used[name] for name in pair)]

        def digest(pair, row=row):
            parts = (str(seed), f"q{row}", *(f"q{row}-{name}" for name in pair))
            return hashlib.sha256(b"".join(map(framed, parts))).hexdigest()

        pairs = [
            (one, two)
            for one in sorted(answers)
            for two in sorted(answers)
            if one < two and RESPONDERS[one] != RESPONDERS[two]
            if answers[one].strip() != answers[two].strip()
        ]
        if not pairs:
            continue
        one, two = min(pairs, key=lambda pair: (*cost(pair), digest(pair)))
        used.update([one, two])
        in_class.update([(row % 2, one), (row % 2, two)])
        if int(record_id(str(seed), "order", f"q{row}", f"q{row}-{one}")[-1], 16) % 2:
            one, two = two, one
        drawn.append((f"q{row}-{one}", f"q{row}-{two}"))
    return drawn


@given(ANSWERS, st.integers(0, 9))
@settings(deadline=None)
def test_the_draw_is_the_one_that_looks_at_every_pair(
    given_: list[dict[str, str]], seed: int
) -> None:
    pairs, _ = draw_block(block(given_), BalancedDraw(RESPONDERS, seed), 1)
    sides = (pairs[f"{side}_response_id"].to_pylist() for side in ("first", "second"))
    assert list(zip(*sides, strict=True)) == drawn_plainly(given_, seed)


def test_of_two_answers_of_a_responder_the_first_by_id_is_looked_at() -> None:
    once = block([{"a": "yes", "g": "no"}])
    again = [pyarrow.array([each]) for each in ("q0-Z", "a", "maybe", False)]  # before q0-a
    more = pyarrow.concat_tables([once.answers, pyarrow.table(again, names=list(ANSWERED))])
    pairs, _ = draw_block(
        Block(once.asked, more, np.zeros(3, np.int64)), BalancedDraw(RESPONDERS, 1), 2
    )
    both = {pairs[f"{side}_response_id"][0].as_py() for side in ("first", "second")}
    assert pairs.num_rows == 1
    assert both == {"q0-Z", "q0-g"}
