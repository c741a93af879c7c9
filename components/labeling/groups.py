"""Safety groups of responders, and the draw of two answers from different groups.

The paper sorts twelve responders into five groups by safety rate and draws two answers of
different safety level for each question (SPA-VL, section 3).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spavl.records import framed, record_id

if TYPE_CHECKING:
    import numpy.typing as npt

IN_CLASS_FIRST = 2**31
"""Weight of a use within the class over one overall, which no number of questions reaches."""
NOT_ALLOWED = 2**61


class Answer(NamedTuple):
    """What the draw needs of an answer."""

    response_id: str
    responder: str
    text: str
    safe: bool


def safety_groups(rates: Mapping[str, float], groups: int) -> dict[str, int]:
    """Sorts responders into contiguous quantiles of their safety rates.

    With n different rates, a responder with the k-th of them (from 0, lowest first) falls into
    group `k * groups // n`; responders of equal rates share a group, since no rate tells them
    apart. With no more rates than groups, every rate is a group of its own.

    Args:
        rates: Safety rate per responder.
        groups: Most groups wanted.

    Returns:
        Group per responder, 0 the least safe, without gaps.
    """
    levels = sorted(set(rates.values()))
    wanted = min(groups, len(levels))
    group_of = {level: k * wanted // len(levels) for k, level in enumerate(levels)}
    return {name: group_of[rates[name]] for name in sorted(rates, key=lambda n: (rates[n], n))}


class BalancedDraw:
    """Draws two answers per question so that responders are used evenly, in all and per class.

    Among the pairs allowed for a question it takes the one whose responders were used least within
    the question's class, then least overall; a seeded hash breaks ties.

    Args:
        groups: Group per responder, of `safety_groups`.
        seed: Seed of the tie-breaks and of which answer comes first.
    """

    def __init__(self, groups: Mapping[str, int], seed: int) -> None:
        self._place = {name: place for place, name in enumerate(groups)}
        self._seed = str(seed)
        self._used = np.zeros(len(groups), np.int64)
        self._used_in_class: dict[str, npt.NDArray[np.int64]] = {}
        group = np.array(list(groups.values()), np.int64)
        self._one, self._two = np.nonzero(np.triu(group[:, None] != group[None, :]))

    def draw(
        self, question_id: str, stratum: str, answers: Iterable[Answer]
    ) -> tuple[Answer, Answer] | str:
        """Two answers in the order they are shown, or the reason why there are none.

        A responder's second answer to the question is not looked at.
        """
        given = {self._place[answer.responder]: answer for answer in sorted(answers, reverse=True)}
        in_class = self._used_in_class.setdefault(stratum, np.zeros_like(self._used))
        cost = np.full(len(self._used), NOT_ALLOWED)
        here = list(given)
        cost[here] = in_class[here] * IN_CLASS_FIRST + self._used[here]
        costs = cost[self._one] + cost[self._two]
        if not len(costs) or costs.min() >= NOT_ALLOWED:
            return "no_two_groups"
        if len({answer.text.strip() for answer in given.values()}) < len(given):
            costs[self._same_text(given)] = NOT_ALLOWED
        least = costs.min()
        if least >= NOT_ALLOWED:
            return "identical_texts"
        cheapest = self._places(np.flatnonzero(costs == least))
        one, two = self._pick(
            question_id, [tuple(sorted((given[one], given[two]))) for one, two in cheapest]
        )
        for used in (self._used, in_class):
            used[[self._place[one.responder], self._place[two.responder]]] += 1
        swap = int(record_id(self._seed, "order", question_id, one.response_id)[-1], 16) % 2
        return (two, one) if swap else (one, two)

    def _places(self, pairs: "npt.NDArray[np.int64]") -> Iterator[tuple[int, int]]:
        """The responders' places of pairs of responders."""
        return zip(self._one[pairs].tolist(), self._two[pairs].tolist(), strict=True)

    def _same_text(self, given: Mapping[int, Answer]) -> list[bool]:
        texts = {place: answer.text.strip() for place, answer in given.items()}
        every = self._places(np.arange(len(self._one)))
        return [one in texts and texts[one] == texts.get(two) for one, two in every]

    def _pick(
        self, question_id: str, pairs: Sequence[tuple[Answer, Answer]]
    ) -> tuple[Answer, Answer]:
        """The pair whose `record_id` of seed, question and both answers is least."""
        asked = hashlib.sha256(framed(self._seed) + framed(question_id))

        def digest(pair: tuple[Answer, Answer]) -> bytes:
            whole = asked.copy()
            whole.update(framed(pair[0].response_id) + framed(pair[1].response_id))
            return whole.digest()

        return min(pairs, key=digest) if len(pairs) > 1 else pairs[0]
