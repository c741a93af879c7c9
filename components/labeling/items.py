"""Test items: for each class some pictures whose question becomes an item for harm or for help.

The pictures of a class are ranked by a seeded hash of their ids; the first give items, in turn for
harm and for help. An item for harm asks the hardest question that its picture has, one for help the
easiest. SPA-VL has five of each for every class (HarmEval and HelpEval).
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from spavl.records import QUESTION_KINDS
from spavl.seeds import derive_seed

EASIEST_FIRST = {kind: place for place, kind in enumerate(QUESTION_KINDS)}


class Row(NamedTuple):
    """What the choice needs of a preference."""

    class3: str | None
    image_id: str
    preference_id: str
    kind: str


@dataclass(frozen=True)
class Items:
    """What is held out for testing.

    Attributes:
        pictures: Their pictures.
        benchmarks: Preferences that become items, by id: `harm_eval` or `help_eval`.
    """

    pictures: frozenset[str] = frozenset()
    benchmarks: dict[str, str] = field(default_factory=dict)


def choose_items(rows: Iterable[Row], per_class: int, seed: int) -> Items:
    """Chooses items; memory holds the chosen pictures' rows alone.

    Args:
        rows: The preferences, in any order; those without a class give no items.
        per_class: Items of each class for harm, and as many for help.
        seed: The run's seed.
    """
    ranked: dict[str, dict[int, list[Row]]] = defaultdict(dict)
    last: dict[str, int] = {}  # rank of a full class's last picture
    for row in rows if per_class else ():
        if row.class3 is None:
            continue
        rank = derive_seed(seed, "test", row.image_id)
        pictures = ranked[row.class3]
        if rank > last.get(row.class3, rank):
            continue
        pictures.setdefault(rank, []).append(row)
        if len(pictures) > 2 * per_class:
            del pictures[max(pictures)]
        if len(pictures) == 2 * per_class:
            last[row.class3] = max(pictures)
    chosen: dict[str, str] = {}
    for pictures in ranked.values():
        for place, (_, found) in enumerate(sorted(pictures.items())):
            by_ease = sorted(found, key=_ease)
            if place % 2 == 0:
                chosen[by_ease[-1].preference_id] = "harm_eval"
            else:
                chosen[by_ease[0].preference_id] = "help_eval"
    held_out = (found[0].image_id for each in ranked.values() for found in each.values())
    return Items(frozenset(held_out), chosen)


def _ease(row: Row) -> tuple[int, str]:
    """Easiest first; kinds that are not known, as of imported rows, before all."""
    return EASIEST_FIRST.get(row.kind, -1), row.preference_id


def item_columns(preferences: dict[str, list[Any]], items: Items) -> dict[str, list[Any]]:
    """Columns of `spavl.records.EvalItem` of preferences that become items.

    Args:
        preferences: Columns of `spavl.records.Preference`.
        items: What was chosen.
    """
    ids = preferences["preference_id"]
    taken_over = ("image_id", "question", "kind", "truth", "thing", "class3")
    return {
        "item_id": ids,
        "benchmark": [items.benchmarks[each] for each in ids],
        **{name: preferences[name] for name in taken_over},
        "expected": [None] * len(ids),
        "source": ["collected"] * len(ids),
        "group": [None] * len(ids),
    }
