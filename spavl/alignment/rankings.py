"""Ranked lists: preferences of one question that chain into an order of three or more answers."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import torch
from torch.nn.utils.rnn import pad_sequence

from spavl.alignment.rows import PairRows, Row

Edge = tuple[str, str]  # ids of a preferred answer and of the one it was preferred to


@dataclass(frozen=True)
class RankedRows(PairRows):
    """An order of answers to one question; as a pair it is its best and its worst.

    Attributes:
        ranked: The answers' rows, best first.
    """

    ranked: tuple[Row, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """All its rows."""
        return self.ranked


def rankings(pairs: Sequence[PairRows]) -> list[RankedRows]:
    """Chain preferences: a over b and b over c is one list of three.

    Every preference is part of exactly one list or follows from one; where a question's preferences
    contradict each other in a circle, each stays a list of two.
    """
    by_question: dict[str, list[PairRows]] = defaultdict(list)
    for pair in pairs:
        by_question[pair.preference.question_id].append(pair)
    return [ranking for question in sorted(by_question) for ranking in _of(by_question[question])]


def _of(pairs: Iterable[PairRows]) -> Iterable[RankedRows]:
    by_edge = {
        (pair.preference.chosen_response_id, pair.preference.rejected_response_id): pair
        for pair in pairs
    }
    rows: dict[str, Row] = {}
    for (better, worse), pair in by_edge.items():
        rows |= {better: pair.chosen, worse: pair.rejected}
    for chain in chains(by_edge):
        preference = by_edge[(chain[0], chain[1])].preference
        ranked = tuple(rows[answer] for answer in chain)
        yield RankedRows(preference, ranked[0], ranked[-1], ranked)


def chains(edges: Iterable[Edge]) -> list[tuple[str, ...]]:
    """Cover preferences by chains, the longest first; of equal ones the first by their ids."""
    left = set(edges)
    found: list[tuple[str, ...]] = []
    while left:
        try:
            chain = _longest(left)
        except CycleError:
            return [*found, *sorted(left)]
        found.append(chain)
        places = {answer: place for place, answer in enumerate(chain)}
        # What the chain implies need not be learned again.
        left = {
            (better, worse)
            for better, worse in left
            if not (better in places and worse in places and places[better] < places[worse])
        }
    return found


def _longest(edges: set[Edge]) -> tuple[str, ...]:
    worse_than: dict[str, list[str]] = defaultdict(list)
    for better, worse in sorted(edges):
        worse_than[better].append(worse)
    longest: dict[str, tuple[str, ...]] = {}
    for answer in TopologicalSorter(worse_than).static_order():  # what is worse comes first
        tails = [longest[worse] for worse in worse_than[answer]] if answer in worse_than else [()]
        longest[answer] = (answer, *min(tails, key=lambda tail: (-len(tail), tail)))
    return min(longest.values(), key=lambda chain: (-len(chain), chain))


def as_lists(
    rewards: torch.Tensor, lists: Sequence[RankedRows]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rewards of all lists' answers, one after the other, as a padded batch.

    Args:
        rewards: float `[answers]`, best first in each list.
        lists: The lists.

    Returns:
        Rewards, float, and mask, bool, both `[lists, longest]`.
    """
    parts = torch.split(rewards, [len(ranking.ranked) for ranking in lists])
    mask = pad_sequence([torch.ones_like(part, dtype=torch.bool) for part in parts], True)
    return pad_sequence(list(parts), True), mask
