"""Safety groups of responders, and the draw of two answers from different groups.

The paper sorts twelve responders into five groups by safety rate and draws two answers of
different safety level for each question (SPA-VL, section 3).
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import combinations, product
from operator import add

from spavl.records import framed

IN_CLASS_FIRST = 2**31
"""Weight of a use within the class over one overall, which no number of questions reaches."""


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
        self._weight_in_class: dict[str, list[int]] = {}  # times `IN_CLASS_FIRST`

    def draw(
        self,
        question: bytes,
        stratum: str,
        answers: Sequence[bytes],
        texts: Sequence[int] | None = None,
    ) -> tuple[int, int] | str:
        """Two responders in the order in which their answers are shown, or why there are none.

        Args:
            question: The question's id, framed.
            stratum: Its class.
            answers: For each responder the id of its answer, framed; empty where it gave none.
            texts: For each responder a number that stands for its text; None where all differ.
        """
        in_class = self._weight_in_class.setdefault(stratum, [0] * len(self._used))
        cost = list(map(add, in_class, self._used))
        here = [place for place, answer in enumerate(answers) if answer]
        if texts is None:
            cheapest = self._cheapest(here, cost)
        else:
            across = self._across(here)
            allowed = [(one, two) for one, two in across if texts[one] != texts[two]]
            if across and not allowed:
                return "identical_texts"
            cheapest = _least(allowed, cost)
        if not cheapest:
            return "no_two_groups"
        one, two = _pick(self._seed + question, cheapest, answers)
        for place in (one, two):
            self._used[place] += 1
            in_class[place] += IN_CLASS_FIRST
        swap = sha256(self._order + question + answers[one]).digest()[15] % 2
        return (two, one) if swap else (one, two)

    def _across(self, places: Sequence[int]) -> list[tuple[int, int]]:
        """The pairs of different groups."""
        group = self._group
        return [(one, two) for one, two in combinations(places, 2) if group[one] != group[two]]

    def _cheapest(self, here: Sequence[int], cost: Sequence[int]) -> list[tuple[int, int]]:
        """The pairs of different groups whose costs together are least.

        Such a pair holds a responder of the least cost of all. Where those are of one group, the
        other is of the least cost outside of it, since a pair of two groups leaves any one group.
        """
        group = self._group
        least = min([cost[place] for place in here], default=0)
        lowest = [place for place in here if cost[place] == least]
        one_group = {group[place] for place in lowest}
        if len(one_group) != 1:
            return self._across(lowest)
        others = [place for place in here if group[place] not in one_group]
        second = min([cost[place] for place in others], default=0)
        return list(product(lowest, [place for place in others if cost[place] == second]))


def _least(pairs: Sequence[tuple[int, int]], cost: Sequence[int]) -> list[tuple[int, int]]:
    """The pairs that cost least."""
    costs = [cost[one] + cost[two] for one, two in pairs]
    least = min(costs, default=0)
    return [pair for pair, each in zip(pairs, costs, strict=True) if each == least]


def _pick(
    asked: bytes, pairs: Sequence[tuple[int, int]], answers: Sequence[bytes]
) -> tuple[int, int]:
    """The pair with the least digest of what was asked and both answers, in order of their ids."""
    ordered = [(one, two) if answers[one] <= answers[two] else (two, one) for one, two in pairs]
    if len(ordered) == 1:
        return ordered[0]
    digests = [sha256(asked + answers[one] + answers[two]).digest() for one, two in ordered]
    return ordered[digests.index(min(digests))]
