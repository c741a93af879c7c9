"""Safety groups of responders, and the draw of two answers from different groups.

The paper sorts twelve responders into five groups by safety rate and draws two answers of
different safety level for each question (SPA-VL, section 3).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from spavl.records import record_id


@dataclass(frozen=True)
class Answer:
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
        self._groups = groups
        self._seed = str(seed)
        self._used: Counter[str] = Counter()
        self._used_in_class: Counter[tuple[str, str]] = Counter()

    def draw(
        self, question_id: str, stratum: str, answers: Iterable[Answer]
    ) -> tuple[Answer, Answer] | str:
        """Two answers in the order they are shown, or the reason why there are none."""
        across = [
            pair
            for pair in combinations(sorted(answers, key=lambda a: a.response_id), 2)
            if self._groups[pair[0].responder] != self._groups[pair[1].responder]
        ]
        if not across:
            return "no_two_groups"
        different = [pair for pair in across if pair[0].text.strip() != pair[1].text.strip()]
        if not different:
            return "identical_texts"
        one, two = min(different, key=lambda pair: self._cost(question_id, stratum, pair))
        for answer in (one, two):
            self._used[answer.responder] += 1
            self._used_in_class[stratum, answer.responder] += 1
        swap = int(self._hash("order", question_id, one.response_id)[-1], 16) % 2
        return (two, one) if swap else (one, two)

    def _cost(
        self, question_id: str, stratum: str, pair: tuple[Answer, Answer]
    ) -> tuple[int, int, str]:
        names = [answer.responder for answer in pair]
        in_class = sum(self._used_in_class[stratum, name] for name in names)
        overall = sum(self._used[name] for name in names)
        return in_class, overall, self._hash(question_id, *(a.response_id for a in pair))

    def _hash(self, *parts: str) -> str:
        return record_id(self._seed, *parts)
