"""Figures under attack, as rows of tables: what was done, every model's rate, how many items."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.reporting.figures import percent
from components.reporting.labels import MODELS, model_label
from components.reporting.tables import Table

Attacks = Mapping[str, Mapping[str, Any]]
CONTROLS = {"pixels": "random noise", "suffix": "no suffix"}


@dataclass(frozen=True)
class AttackRow:
    """One line of a table.

    Attributes:
        label: What was done.
        short: The same for a terminal's narrow columns.
        part: `attacked`, `control` or `difference`.
        figures: Each model's figure.
    """

    label: str
    short: str
    part: str
    figures: Mapping[str, Mapping[str, Any]]

    @property
    def n(self) -> int:
        """Items behind it."""
        return max(int(figure["n"]) for figure in self.figures.values())


def attack_rows(attacks: Attacks) -> list[AttackRow]:
    """All rows: best of n, pixels by epsilon, suffix; the control and the difference below each."""
    rows = [
        AttackRow(f"Best of {n} draws", f"Best of {n}", "attacked", found)
        for n in _keys(attacks, "best_of_n")
        if (found := _figures(attacks, "best_of_n", n))
    ]
    for epsilon in _keys(attacks, "pixels"):
        rows += _against_control(attacks, ("pixels", epsilon), f"Pixels, {epsilon} of 255")
    return rows + list(_against_control(attacks, ("suffix",), "Suffix sought against the model"))


def hardest_rows(attacks: Attacks) -> list[AttackRow]:
    """What a terminal shows: the most draws, the largest epsilon with its noise, the suffix."""
    rows = attack_rows(attacks)
    draws = [row for row in rows if row.short.startswith("Best")][-1:]
    pixels = [row for row in rows if row.short.startswith(("Pixels", "Noise"))]
    pixels = [row for row in pixels if row.part != "difference"][-2:]
    return draws + pixels + [row for row in rows if row.short == "Suffix search"]


def attack_table(attacks: Attacks) -> Table:
    """The rows for readers, percent with interval; a difference is in percentage points."""
    models = [model for model in MODELS if model in attacks]
    rows = [
        (row.label, *(percent(row.figures.get(model)) for model in models), row.n)
        for row in attack_rows(attacks)
    ]
    return Table(("attack", *map(model_label, models), "n"), rows)


def efforts(attacks: Attacks) -> str:
    """How hard it was tried, in words."""
    told = []
    for kind, key, unit in (
        ("best_of_n", "draws", "draws of an item"),
        ("pixels", "steps", "steps on the pixels"),
        ("suffix", "steps", "words tried for a suffix"),
    ):
        found = {number for each in attacks.values() for number in _efforts(each.get(kind), key)}
        if found:
            told.append(f"{max(found)} {unit}")
    return ", ".join(told)


def _efforts(facts: Any, key: str) -> Iterator[int]:
    if isinstance(facts, Mapping):
        if key in facts:
            yield facts[key]
        for each in facts.values():
            yield from _efforts(each, key)


def _against_control(attacks: Attacks, path: tuple[str, ...], label: str) -> Iterator[AttackRow]:
    kind = path[0]
    shorts = {"attacked": f"Pixels {path[-1]}/255", "control": f"Noise {path[-1]}/255"}
    if kind == "suffix":
        shorts = {"attacked": "Suffix search", "control": "No suffix"}
    for part in ("attacked", "control", "difference"):
        if found := _figures(attacks, *path, part):
            told = {"control": f": {CONTROLS[kind]}", "difference": ": difference, points"}
            yield AttackRow(label + told.get(part, ""), shorts.get(part, "Difference"), part, found)


def _keys(attacks: Attacks, kind: str) -> list[str]:
    """Strengths or numbers of draws that some model was put to, in their order."""
    return sorted({key for each in attacks.values() for key in each.get(kind, {})}, key=int)


def _figures(attacks: Attacks, *path: str) -> dict[str, Any]:
    """Each model's figure at a path, of those that have one with items."""
    found = {}
    for model, facts in attacks.items():
        figure: Any = facts
        for key in path:
            figure = figure.get(key, {})
        if figure.get("n"):
            found[model] = figure
    return found
