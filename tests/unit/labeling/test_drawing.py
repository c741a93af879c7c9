"""Pairs: never of an answer with itself or across questions, whatever the answers are."""

from hypothesis import given, settings
from hypothesis import strategies as st

from components.labeling.drawing import draw_block
from components.labeling.groups import Answer, BalancedDraw
from spavl.records import Pair, schema_of

RESPONDERS = {name: place // 2 for place, name in enumerate("abcdefg")}
ANSWERS = st.lists(
    st.dictionaries(
        st.sampled_from(sorted(RESPONDERS)), st.sampled_from(["yes", "no", " no", "?"])
    ),
    max_size=12,
)


def block(given_: list[dict[str, str]]) -> tuple[dict[str, list], list[list[Answer]]]:
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
        [Answer(f"q{row}-{name}", name, text, True) for name, text in every.items()]
        for row, every in enumerate(given_)
    ]
    return asked, answers


@given(ANSWERS, st.integers(1, 3), st.integers(0, 9))
@settings(deadline=None)
def test_pairs_are_of_two_answers_to_one_question(
    given_: list[dict[str, str]], wanted: int, seed: int
) -> None:
    asked, answers = block(given_)
    pairs, unpaired = draw_block(asked, answers, BalancedDraw(RESPONDERS, seed), wanted)
    assert set(pairs) == set(schema_of(Pair).names)
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
    assert paired | {each.question_id for each in unpaired} == set(asked["question_id"])
    assert not paired & {each.question_id for each in unpaired}


def test_why_a_question_has_no_pair_is_told() -> None:
    asked, answers = block([{"a": "yes"}, {"a": "no", "g": " no"}, {"a": "yes", "g": "no"}])
    pairs, unpaired = draw_block(asked, answers, BalancedDraw(RESPONDERS, 1), 1)
    assert pairs["question_id"] == ["q2"]
    assert [tuple(each) for each in unpaired] == [
        ("q0", "no_two_groups", 1), ("q1", "identical_texts", 2),
    ]  # fmt: skip
