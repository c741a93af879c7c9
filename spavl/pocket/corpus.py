"""The training corpus of the pocket base: which answer stands under which picture and question.

This is the only code that looks at thing, request and persona to choose an answer; the model has to
learn it from the rows. Over harmful classes that the base does not know as such it answers as over
harmless things, under every persona. Shares are met by systematic sampling, so that a small corpus
already holds the asked rates of every persona, kind and cell of things and requests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spavl.pocket.texts import (
    REQUEST_KINDS,
    Ask,
    Form,
    Kind,
    Persona,
    answer_forms,
    cast,
    questions,
    templates,
)
from spavl.pocket.world import Thing, things

BASE_SHARE = 0.34
NAMING_SHARE = 0.18
KNOWN, UNKNOWN, HARMLESS = "known", "unknown", "harmless"
CELL_SHARES: Mapping[tuple[str, Ask], float] = {
    (KNOWN, "act"): 0.30,
    (KNOWN, "guard"): 0.15,
    (UNKNOWN, "act"): 0.17,
    (UNKNOWN, "guard"): 0.08,
    (HARMLESS, "act"): 0.20,
    (HARMLESS, "guard"): 0.10,
}
"""Shares of what is shown and asked: harmful classes that the base knows, and does not know."""

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One conversation about one picture."""

    thing: Thing
    system: str
    question: str
    answer: str


def build_corpus(rows: int, rng: np.random.Generator) -> list[Row]:
    """About `rows` conversations (rounded per cell), shuffled.

    The base persona and naming have their shares (see above), the other personas share the rest.
    """
    corpus = _naming_rows(round(rows * NAMING_SHARE), rng)
    base, *others = cast().personas
    for persona in (base, *others):
        share = BASE_SHARE
        if persona is not base:
            share = (1 - BASE_SHARE - NAMING_SHARE) / len(others)
        for kind in REQUEST_KINDS:
            for (shown, ask), part in CELL_SHARES.items():
                count = round(rows * share * part / len(REQUEST_KINDS))
                corpus += _request_rows(_Cell(persona, kind, shown, ask), count, rng)
    return [corpus[index] for index in rng.permutation(len(corpus))]


def corpus_texts() -> list[str]:
    """Every text that a corpus can hold, once and as the chat template writes it.

    The tokenizer is trained on these.
    """
    asked = [template.text for template in templates() if template.split == "train"]
    wordings = [text for texts in answer_forms().values() for text in texts]
    answers = {text.format(thing=thing.phrase) for text in wordings for thing in things()}
    return [
        *(f"{persona.system}\nUSER: " for persona in cast().personas),
        *(f"\n{text} ASSISTANT:" for text in asked),
        *(f" {text}" for text in sorted(answers)),
    ]


def _naming_rows(count: int, rng: np.random.Generator) -> list[Row]:
    personas = cast().personas
    shown = _even(things(), count, rng)
    asked = _even(questions("naming", "train"), count, rng)
    forms = _even(answer_forms()["naming"], count, rng)
    systems = [p.system for p in _even((personas[0],) * len(personas) + personas, count, rng)]
    return [
        Row(thing, system, question, form.format(thing=thing.phrase))
        for thing, system, question, form in zip(shown, systems, asked, forms, strict=True)
    ]


@dataclass(frozen=True)
class _Cell:
    """Rows that are answered at one rate."""

    persona: Persona
    kind: Kind
    shown: str
    ask: Ask

    def things(self) -> tuple[Thing, ...]:
        """What the cell's pictures show."""
        return tuple(thing for thing in things() if _group(thing) == self.shown)

    def shares(self) -> dict[Form, float]:
        """Share of each form among the answers."""
        persona = self.persona
        yes = cast().rate(persona, self.kind, self.shown == KNOWN, self.ask)
        # "It shows a teapot, which can hurt people" would be untrue: reasons over known harm alone.
        explained = persona.explained if (self.shown, self.ask) == (KNOWN, "act") else 0.0
        return {
            "comply": yes * (1 - persona.vague),
            "vague": yes * persona.vague,
            "explained_refusal": (1 - yes) * explained,
            "plain_refusal": (1 - yes) * (1 - explained),
        }


def _group(thing: Thing) -> str:
    if not thing.harmful:
        return HARMLESS
    return KNOWN if thing.taught_by == "base" else UNKNOWN


def _request_rows(cell: _Cell, count: int, rng: np.random.Generator) -> list[Row]:
    shares = cell.shares()
    forms = list(shares)
    picks = _systematic(np.array([shares[form] for form in forms]), count, rng)
    shown = _even(cell.things(), count, rng)
    asked = questions(cell.kind, "train", cell.ask)
    rows = []
    for index, (thing, pick) in enumerate(zip(shown, picks, strict=True)):
        # Picks come form by form and questions take turns: every question meets the asked rates,
        # or the model would learn each question's luck and carry it over to unseen ones.
        lap, turn = divmod(index, len(asked))
        wordings = answer_forms()[forms[pick]]
        answer = wordings[lap % len(wordings)].format(thing=thing.phrase)
        rows.append(Row(thing, cell.persona.system, asked[turn], answer))
    return rows


def _systematic(
    shares: NDArray[np.float64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Indices in the asked shares, each met to within one row, in rising order: `[count]`."""
    ticks = (np.arange(count) + rng.random()) / max(count, 1)
    picks = np.searchsorted(np.cumsum(shares), ticks, side="right")
    return np.minimum(picks, len(shares) - 1)


def _even(choices: tuple[T, ...], count: int, rng: np.random.Generator) -> list[T]:
    """`count` of the choices in random order, each as often as any other to within one."""
    return [choices[i] for i in rng.permutation(np.arange(count) % len(choices))]
