"""Swapped judging: only what both orders agree on becomes a preference."""

from dataclasses import replace

import pytest

from components.labeling.judging import Tally, judge_block
from spavl.judges import (
    Abstention,
    CompareOneByOne,
    Comparison,
    NoisyPairwiseJudge,
    PairwiseJudge,
    RulePairwiseJudge,
    Shown,
    Winner,
)
from spavl.records import Pair, Preference, SetAside

PAIR = Pair(
    "p", "q", "i", "How?", "easy_question", "harmful", "theft", "theft",
    "r1", "Sure. Just start and see how it goes.", "bold", False,
    "r2", "Sorry, I can't help with that.", "shy", True,
)  # fmt: skip


class Stub:
    """A judge that always gives the same place."""

    judge_id = "stub"

    def __init__(self, always: Winner) -> None:
        self._always = always

    def compare(self, question: str, first: str, second: str, shown: Shown) -> Comparison:
        return Comparison(self._always, f"I like {self._always}")


def judge_pair(judge: PairwiseJudge, pair: Pair, tally: Tally) -> Preference | SetAside:
    (row,) = judge_block(CompareOneByOne(judge), [pair], tally)
    return row


@pytest.mark.parametrize("place", ["first", "second"])
def test_a_judge_that_goes_by_place_gets_every_pair_set_aside(place: Winner) -> None:
    tally = Tally()
    outcomes = [judge_pair(Stub(place), PAIR, tally) for _ in range(10)]
    assert all(isinstance(row, SetAside) and row.reason == "swap_disagreement" for row in outcomes)
    summary = tally.summary()
    assert summary["swap_consistency"]["value"] == 0
    assert summary["first_place_rate"]["value"] == (1 if place == "first" else 0)


def test_ties_are_set_aside_with_both_reasons() -> None:
    tally = Tally()
    row = judge_pair(Stub("tie"), PAIR, tally)
    assert isinstance(row, SetAside)
    assert (row.reason, row.detail) == ("tie", "tie: I like tie | tie: I like tie")
    assert tally.summary()["swap_consistency"]["value"] == 1
    assert tally.summary()["first_place_rate"]["n"] == 0


def test_chosen_and_rejected_keep_their_own_ids_and_verdicts() -> None:
    tally = Tally()
    row = judge_pair(RulePairwiseJudge(("theft",)), PAIR, tally)
    assert isinstance(row, Preference)
    assert (row.chosen, row.chosen_response_id, row.chosen_responder, row.chosen_safe) == (
        PAIR.second, "r2", "shy", True,
    )  # fmt: skip
    assert (row.rejected, row.rejected_response_id, row.rejected_responder, row.rejected_safe) == (
        PAIR.first, "r1", "bold", False,
    )  # fmt: skip
    assert row.reason1 == row.reason2 == "plain refusal beats unsafe: goes along with theft"
    assert tally.summary()["kept_by_safety"] == {"chosen_safe_rejected_unsafe": 1}
    assert tally.summary()["first_place_rate"]["value"] == 0.5


def test_a_pair_without_two_verdicts_is_set_aside_with_both_and_counts_as_no_disagreement() -> None:
    class Abstaining:
        judge_id = "abstaining"

        def compare_all(self, cases):
            one = [Comparison("first", "better")] * len(cases)
            return one if cases[0].first == PAIR.first else [Abstention("malformed", "'hm'")]

    tally = Tally()
    (row,) = judge_block(Abstaining(), [PAIR], tally)
    assert isinstance(row, SetAside)
    assert (row.reason, row.detail) == ("no_verdict", "first: better | malformed: 'hm'")
    assert tally.summary()["swap_consistency"]["n"] == 0
    assert tally.summary()["first_place_rate"]["n"] == 0


def test_noise_turns_the_asked_share_by_texts_alone_and_alike_in_both_orders() -> None:
    rule = RulePairwiseJudge(("theft",))
    pairs = [replace(PAIR, pair_id=f"p{k}", question=f"How {k}?") for k in range(2000)]
    tally = Tally()
    rows = list(judge_block(CompareOneByOne(NoisyPairwiseJudge(rule, 0.15)), pairs, tally))
    turned = [isinstance(row, Preference) and row.chosen_responder == "bold" for row in rows]
    assert sum(turned) / len(turned) == pytest.approx(0.15, abs=0.03)
    assert tally.outcomes == {"kept": 2000}
    again = judge_block(CompareOneByOne(NoisyPairwiseJudge(rule, 0.15)), pairs[::-1], Tally())
    assert {row.preference_id: row for row in again if isinstance(row, Preference)} == {
        row.preference_id: row for row in rows if isinstance(row, Preference)
    }


def test_noise_of_one_turns_all_labels_and_leaves_ties() -> None:
    all_wrong = NoisyPairwiseJudge(RulePairwiseJudge(("theft",)), 1.0)
    row = judge_pair(all_wrong, PAIR, Tally())
    assert isinstance(row, Preference)
    assert (row.chosen_responder, row.rejected_responder) == ("bold", "shy")
    tied = NoisyPairwiseJudge(Stub("tie"), 1.0)
    assert isinstance(judge_pair(tied, PAIR, Tally()), SetAside)
