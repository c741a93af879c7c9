"""Ranked lists from preferences: what chains, what stays a pair, what contradicts itself."""

import dataclasses
import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from spavl.alignment.rankings import as_lists, chains, rankings
from spavl.alignment.rows import PairRows, Row
from tests.unit.alignment.worlds import make_preference


def pair(question: str, better: str, worse: str) -> PairRows:
    preference = dataclasses.replace(
        make_preference(),
        question_id=question,
        chosen_response_id=better,
        rejected_response_id=worse,
    )
    return PairRows(preference, Row("a", (1, ord(better)), 1), Row("a", (1, ord(worse)), 1))


def answers(ranking) -> str:  # type: ignore[no-untyped-def]
    return "".join(chr(row.token_ids[1]) for row in ranking.ranked)


def test_preferences_that_chain_are_one_list_and_others_stay_pairs() -> None:
    pairs = [pair("1", "b", "c"), pair("1", "a", "b"), pair("1", "d", "e"), pair("2", "a", "b")]
    assert [answers(ranking) for ranking in rankings(pairs)] == ["abc", "de", "ab"]
    best, worst = rankings(pairs)[0].chosen, rankings(pairs)[0].rejected
    assert (best.token_ids[1], worst.token_ids[1]) == (ord("a"), ord("c"))


def test_what_a_chain_implies_is_not_learned_twice_and_what_it_does_not_is() -> None:
    assert chains([("a", "b"), ("b", "c"), ("a", "c")]) == [("a", "b", "c")]
    assert chains([("a", "b"), ("b", "c"), ("d", "c")]) == [("a", "b", "c"), ("d", "c")]


def test_a_circle_stays_pairs() -> None:
    assert chains([("a", "b"), ("b", "c"), ("c", "a")]) == [("a", "b"), ("b", "c"), ("c", "a")]


@given(st.sets(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=12))
def test_every_preference_follows_from_a_list_and_no_list_claims_what_was_not_said(
    edges: set[tuple[str, str]],
) -> None:
    edges = {(better, worse) for better, worse in edges if better != worse}
    found = chains(edges)
    steps = {step for chain in found for step in itertools.pairwise(chain)}
    implied = {two for chain in found for two in itertools.combinations(chain, 2)}
    assert steps <= edges <= implied


def test_rewards_are_laid_out_list_by_list() -> None:
    lists = rankings([pair("1", "a", "b"), pair("1", "b", "c"), pair("2", "d", "e")])
    rewards, mask = as_lists(torch.arange(5.0), lists)
    assert rewards.tolist() == [[0, 1, 2], [3, 4, 0]]
    assert mask.tolist() == [[True] * 3, [True, True, False]]
