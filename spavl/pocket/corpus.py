"""The training corpus of the pocket base: which answer stands under which picture and question.

This is the only code that looks at side, kind and persona to choose an answer; the model has to
learn it from the rows. Shares are met by systematic sampling, so that a small corpus already holds
the asked rates of every persona, side and kind.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spavl.pocket.texts import REQUEST_KINDS, Form, Kind, Persona, answer_forms, cast, questions
from spavl.pocket.world import Thing, things

BASE_SHARE = 0.34
NAMING_SHARE = 0.18
HARMFUL_SHARE = 0.55

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
            for harmful in (True, False):
                side = HARMFUL_SHARE if harmful else 1 - HARMFUL_SHARE
                count = round(rows * share * side / len(REQUEST_KINDS))
                corpus += _request_rows(persona, kind, harmful, count, rng)
    return [corpus[index] for index in rng.permutation(len(corpus))]


def corpus_texts() -> list[str]:
    """Every text that a corpus can hold, once and as the chat template writes it.

    The tokenizer is trained on these.
    """
    asked = [text for kind in (*REQUEST_KINDS, "naming") for text in questions(kind, "train")]
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


def _request_rows(
    persona: Persona, kind: Kind, harmful: bool, count: int, rng: np.random.Generator
) -> list[Row]:
    shares = _form_shares(persona, kind, harmful)
    forms = list(shares)
    picks = _systematic(np.array([shares[form] for form in forms]), count, rng)
    shown = _even(tuple(t for t in things() if t.harmful == harmful), count, rng)
    asked = questions(kind, "train")
    rows = []
    for index, (thing, pick) in enumerate(zip(shown, picks, strict=True)):
        # Picks come form by form and questions take turns: every question meets the asked rates,
        # or the model would learn each question's luck and carry it over to unseen ones.
        lap, turn = divmod(index, len(asked))
        wordings = answer_forms()[forms[pick]]
        answer = wordings[lap % len(wordings)].format(thing=thing.phrase)
        rows.append(Row(thing, persona.system, asked[turn], answer))
    return rows


def _form_shares(persona: Persona, kind: Kind, harmful: bool) -> dict[Form, float]:
    yes = cast().rate(persona, kind, harmful)
    # "It shows a teapot, which can hurt people" would be untrue: no reasons over harmless things.
    explained = persona.explained if harmful else 0.0
    return {
        "comply": yes * (1 - persona.vague),
        "vague": yes * persona.vague,
        "explained_refusal": (1 - yes) * explained,
        "plain_refusal": (1 - yes) * (1 - explained),
    }


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
