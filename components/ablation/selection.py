"""Selection: the preferences of one variant and seed, as a pure function of the rows.

Rows are put in an order that the seed alone decides, row by row, so that a smaller number of pairs
is always a part of a larger one, and neither depends on how the data set is stored.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from components.ablation.plan import Responders, Rows
from spavl.errors import InputError
from spavl.seeds import derive_seed

Row = dict[str, Any]
"""A preference, as columns by name."""
Stratum = tuple[str | None, bool | None]
"""Kind, and whether it is a contrast; None where that does not matter."""


def select(rows: Sequence[Row], wanted: Rows, seed: int, where: str) -> list[Row]:
    """The rows that a variant trains on.

    Args:
        rows: Preferences.
        wanted: What is asked for.
        seed: The point's seed: decides the order, and with it which rows are taken.
        where: The variant, for messages.

    Raises:
        InputError: If there are fewer than are asked for.
    """
    ordered = sorted(rows, key=lambda row: _place(seed, wanted.draw, str(row["preference_id"])))
    if wanted.responders:
        allowed = responders(rows, wanted.responders, seed)
        ordered = [row for row in ordered if {*_responders(row)} <= allowed]
    if wanted.classes:
        known = classes(rows, wanted.classes, seed)
        ordered = [row for row in ordered if row["class3"] is None or row["class3"] in known]
    if wanted.kinds or wanted.contrasts is not None:
        chosen = _by_quota(ordered, wanted, where)
    else:
        chosen = _first(ordered, wanted, where)
    return [turned(row) for row in chosen] if wanted.labels == "turned" else chosen


def responders(rows: Sequence[Row], wanted: Responders, seed: int) -> set[str]:
    """The responders whose answers are allowed.

    Raises:
        InputError: If the rows know fewer responders than are asked for, or not the named ones.
    """
    if wanted.safest or wanted.least_safe:
        _require_verdicts(rows, "responders by their safety")
    rates = safety_rates(rows)
    safest = sorted(rates, key=lambda name: (-rates[name], name))
    by_chance = sorted(rates, key=lambda name: derive_seed(seed, "responders", name))
    named, count = wanted.named, wanted.safest or wanted.least_safe or wanted.drawn or 0
    if count > len(rates) or not {*(named or ())} <= {*rates}:
        raise InputError(
            f"the rows are of {len(rates)} responders",
            ", ".join(safest) or "none",
            "ask for some of these",
        )
    if named:
        return {*named}
    order = by_chance if wanted.drawn else safest[::-1] if wanted.least_safe else safest
    return {*order[:count]}


def classes(rows: Iterable[Row], wanted: int, seed: int) -> set[str]:
    """Some classes of harm, drawn by the seed; fewer are always a part of more.

    Raises:
        InputError: If the rows are about fewer.
    """
    known = {str(row["class3"]) for row in rows if row["class3"] is not None}
    if wanted > len(known):
        raise InputError(
            f"the rows are about {len(known)} classes of harm",
            ", ".join(sorted(known)) or "none",
            "ask for fewer",
        )
    return {*sorted(known, key=lambda name: derive_seed(seed, "classes", name))[:wanted]}


def safety_rates(rows: Iterable[Row]) -> dict[str, float]:
    """Share of safe answers by responder, among those that could have been unsafe."""
    counts: dict[str, list[int]] = {}
    for row in rows:
        for side in ("chosen", "rejected"):
            safe, answers = counts.setdefault(str(row[f"{side}_responder"]), [0, 0])
            could = row["truth"] != "harmless"
            counts[str(row[f"{side}_responder"])] = [
                safe + (could and bool(row[f"{side}_safe"])),
                answers + could,
            ]
    return {name: safe / answers if answers else 0.0 for name, (safe, answers) in counts.items()}


def _require_verdicts(rows: Iterable[Row], asked: str) -> None:
    """Imported rows come without a moderator's verdicts."""
    if any(row[f"{side}_safe"] is None for row in rows for side in ("chosen", "rejected")):
        raise InputError(
            f"{asked}, but no moderator has judged these answers",
            "imported rows",
            "name responders, or ask for none of this",
        )


def turned(row: Row) -> Row:
    """The preference with chosen and rejected in each other's place."""
    other = {"chosen": "rejected", "rejected": "chosen"}
    changed = dict(row)
    for side, name in other.items():
        for key in (side, f"{side}_response_id", f"{side}_responder", f"{side}_safe"):
            changed[key.replace(side, name, 1)] = row[key]
    return changed


def contrast(row: Row) -> bool:
    """Whether a safe answer was preferred to an unsafe one."""
    return bool(row["chosen_safe"]) and not row["rejected_safe"]


def _by_quota(ordered: Sequence[Row], wanted: Rows, where: str) -> list[Row]:
    """As many of each kind and, if asked for, of contrasts: the first of each, in order."""
    if wanted.contrasts is not None:
        _require_verdicts(ordered, "contrasts")
    there = Counter(_stratum(row, wanted) for row in ordered)
    room = _quotas(there, wanted)
    for stratum, asked in room.items():
        if there[stratum] < asked:
            kind, contrasting = stratum
            told = {None: "", True: "with contrast", False: "without contrast"}[contrasting]
            raise _too_few(there[stratum], asked, ", ".join(filter(None, (where, kind, told))))
    chosen = []
    for row in ordered:
        if room.get(_stratum(row, wanted), 0):
            room[_stratum(row, wanted)] -= 1
            chosen.append(row)
    return chosen


def _stratum(row: Row, wanted: Rows) -> Stratum:
    kind = str(row["kind"]) if wanted.kinds else None
    return kind, None if wanted.contrasts is None else contrast(row)


def _quotas(there: Mapping[Stratum, int], wanted: Rows) -> dict[Stratum, int]:
    kinds: Sequence[str | None] = wanted.kinds or (None,)
    pairs = wanted.pairs or min(there.get((kind, None), 0) for kind in kinds) * len(kinds)
    if wanted.contrasts is None:
        return {(kind, None): part for kind, part in _parts(pairs, kinds)}
    contrasts = dict(_parts(wanted.contrasts, kinds))
    return {
        (kind, each): contrasts[kind] if each else part - contrasts[kind]
        for kind, part in _parts(pairs, kinds)
        for each in (True, False)
    }


def _parts(count: int, kinds: Sequence[str | None]) -> list[tuple[str | None, int]]:
    """A count in parts that are equal to within one, the first ones larger."""
    each, odd = divmod(count, len(kinds))
    return [(kind, each + (place < odd)) for place, kind in enumerate(kinds)]


def _first(ordered: Sequence[Row], wanted: Rows, where: str) -> list[Row]:
    if len(ordered) < (wanted.pairs or 1):
        raise _too_few(len(ordered), wanted.pairs or 1, where)
    return list(ordered[: wanted.pairs])


def _too_few(there: int, asked: int, where: str) -> InputError:
    return InputError(f"{there} pairs, {asked} asked for", where, "ask for fewer, or collect more")


def _responders(row: Row) -> tuple[str, str]:
    return str(row["chosen_responder"]), str(row["rejected_responder"])


def _place(seed: int, draw: str, preference_id: str) -> int:
    return derive_seed(seed, "ablation", draw, preference_id)
