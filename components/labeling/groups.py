"""Safety groups of responders, and the draw of two answers from different groups.

The paper sorts twelve responders into five groups by safety rate and draws two answers of
different safety level for each question (SPA-VL, section 3).
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import combinations, product

from spavl.records import framed

IN_CLASS_FIRST = 2**31
"""Weight of a use within the class over one overall, which no number of questions reaches."""
FRAME = 8
"""Bytes before a framed id."""


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
    the question's class, then least overall; a seeded hash breaks ties. Responders are named by
    their places in `groups`.

    Args:
        groups: Group per responder, of `safety_groups`.
        seed: Seed of the tie-breaks and of which answer comes first.
    """

    def __init__(self, groups: Mapping[str, int], seed: int) -> None:
        self.responders = tuple(groups)
        self._group = tuple(groups.values())
        self._seed = framed(str(seed))
        self._order = self._seed + framed("order")
        self._used = [0] * len(groups)
        self._used_in_class: dict[str, list[int]] = {}

    def draw(
        self,
        question: bytes,
        stratum: str,
        answers: Sequence[bytes | None],
        texts: Sequence[int] | None = None,
    ) -> tuple[int, int] | str:
        """Two responders in the order in which their answers are shown, or why there are none.

        Args:
            question: The question's id, framed.
            stratum: Its class.
            answers: For each responder the id of its answer, framed; None where it gave none.
            texts: For each responder a number that stands for its text; None where all differ.
        """
        in_class = self._used_in_class.setdefault(stratum, [0] * len(self._used))
        cost = [
            there * IN_CLASS_FIRST + used for there, used in zip(in_class, self._used, strict=True)
        ]
        here = [place for place, answer in enumerate(answers) if answer is not None]
        if texts is None:
            cheapest = self._cheapest(here, cost)
        else:
            allowed = [pair for pair in self._across(here) if texts[pair[0]] != texts[pair[1]]]
            if not allowed and any(self._across(here)):
                return "identical_texts"
            cheapest = _least(allowed, cost)
        if not cheapest:
            return "no_two_groups"
        one, two = cheapest[0]
        if len(cheapest) > 1:
            one, two = self._pick(question, cheapest, answers)
        for used in (self._used, in_class):
            used[one] += 1
            used[two] += 1
        if _id(answers[one]) > _id(answers[two]):
            one, two = two, one
        swap = sha256(self._order + question + (answers[one] or b"")).digest()[15] % 2
        return (two, one) if swap else (one, two)

    def _across(self, here: Sequence[int]) -> Iterator[tuple[int, int]]:
        """The pairs of different groups."""
        group = self._group
        return ((one, two) for one, two in combinations(here, 2) if group[one] != group[two])

    def _cheapest(self, here: Sequence[int], cost: Sequence[int]) -> list[tuple[int, int]]:
        """The pairs of different groups whose costs together are least.

        Such a pair holds a responder of the least cost of all. Where those are of one group, the
        other is of the least cost outside of it, since a pair of two groups leaves any one group.
        """
        group = self._group
        least = min((cost[place] for place in here), default=0)
        lowest = [place for place in here if cost[place] == least]
        groups = {group[place] for place in lowest}
        if len(groups) != 1:
            return list(self._across(lowest))
        others = [place for place in here if group[place] not in groups]
        second = min((cost[place] for place in others), default=0)
        return list(product(lowest, (place for place in others if cost[place] == second)))

    def _pick(
        self,
        question: bytes,
        pairs: Sequence[tuple[int, int]],
        answers: Sequence[bytes | None],
    ) -> tuple[int, int]:
        """The pair whose `record_id` of seed, question and both answers is least, ids in order."""
        begin = self._seed + question

        def digest(pair: tuple[int, int]) -> bytes:
            first, second = answers[pair[0]] or b"", answers[pair[1]] or b""
            if first[FRAME:] > second[FRAME:]:
                first, second = second, first
            return sha256(begin + first + second).digest()

        return min(pairs, key=digest)


def _id(answer: bytes | None) -> bytes:
    return (answer or b"")[FRAME:]


def _least(pairs: Sequence[tuple[int, int]], cost: Sequence[int]) -> list[tuple[int, int]]:
    costs = [cost[one] + cost[two] for one, two in pairs]
    least = min(costs, default=0)
    return [pair for pair, each in zip(pairs, costs, strict=True) if each == least]
