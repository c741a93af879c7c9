"""Test items: for each class some pictures whose question becomes an item for harm or for help.

The pictures of a class are ranked by a seeded hash of their ids; the first give items, in turn for
harm and for help. An item for harm asks the hardest question that its picture has, one for help the
easiest. SPA-VL has five of each for every class (HarmEval and HelpEval).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spavl.columns import derived_seeds
from spavl.records import QUESTION_KINDS, EvalItem, schema_of

if TYPE_CHECKING:
    import pyarrow

EASIEST_FIRST = {kind: place for place, kind in enumerate(QUESTION_KINDS)}


class Row(NamedTuple):
    """What the choice needs of a preference that has a class."""

    class3: str
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


def choose_items(tables: Iterable["pyarrow.Table"], per_class: int, seed: int) -> Items:
    """Chooses items; memory holds the chosen pictures' rows alone.

    Args:
        tables: The preferences, in any order; of their columns those of `Row` are looked at. Rows
            without a class give no items.
        per_class: Items of each class for harm, and as many for help.
        seed: The run's seed.
    """
    ranked: dict[str, dict[int, list[Row]]] = defaultdict(dict)
    last: dict[str, int] = {}  # rank of a full class's last picture
    for table in tables if per_class else ():
        for rank, row in _ranked(table, last, seed):
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


def _ranked(
    table: "pyarrow.Table", last: Mapping[str, int], seed: int
) -> Iterator[tuple[int, Row]]:
    """Rows whose pictures may be among their classes' first, and the pictures' ranks."""
    from pyarrow import compute

    known = table.select(list(Row._fields)).filter(compute.is_valid(table["class3"]))
    ranks = derived_seeds(seed, "test", known["image_id"])
    classes = known["class3"].combine_chunks().dictionary_encode()
    bounds = np.array([last.get(name, 2**63) for name in classes.dictionary.to_pylist()], np.uint64)
    near = ranks <= bounds[classes.indices.to_numpy()]
    rows = (Row(**row) for row in known.filter(near).to_pylist())
    return zip(ranks[near].tolist(), rows, strict=True)


def _ease(row: Row) -> tuple[int, str]:
    """Easiest first; kinds that are not known, as of imported rows, before all."""
    return EASIEST_FIRST.get(row.kind, -1), row.preference_id


def item_table(preferences: "pyarrow.Table", items: Items) -> "pyarrow.Table":
    """Rows of `spavl.records.EvalItem` of preferences that become items.

    Args:
        preferences: Rows of `spavl.records.Preference`.
        items: What was chosen.
    """
    import pyarrow

    ids = preferences["preference_id"]
    taken_over = ("image_id", "question", "kind", "truth", "thing", "class3")
    columns = {
        "item_id": ids,
        "benchmark": [items.benchmarks[each] for each in ids.to_pylist()],
        **{name: preferences[name] for name in taken_over},
        "expected": pyarrow.nulls(len(ids), pyarrow.string()),
        "source": ["collected"] * len(ids),
        "group": pyarrow.nulls(len(ids), pyarrow.string()),
    }
    schema = schema_of(EvalItem)
    return pyarrow.table([columns[name] for name in schema.names], schema=schema)
