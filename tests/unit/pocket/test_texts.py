"""Templates keep their splits apart and never name a thing; answers are read by words alone."""

import re

import numpy as np
import pytest

from spavl.pocket.corpus import build_corpus
from spavl.pocket.texts import (
    REQUEST_KINDS,
    Ask,
    Kind,
    Split,
    answer_forms,
    cast,
    named_thing,
    questions,
    refuses,
    templates,
    truth_of,
)
from spavl.pocket.world import things

pytestmark = pytest.mark.unit


def guarding(split: Split) -> set[str]:
    return {text for kind in REQUEST_KINDS for text in questions(kind, split, "guard")}


CELLS: list[tuple[Kind, Ask]] = [
    *((kind, "act") for kind in (*REQUEST_KINDS, "naming")),
    *((kind, "guard") for kind in REQUEST_KINDS),
]


@pytest.mark.parametrize(("kind", "ask"), CELLS)
def test_splits_share_no_template_but_all_their_words(kind: Kind, ask: Ask) -> None:
    train, test = questions(kind, "train", ask), questions(kind, "test", ask)

    assert len(train) == 15
    assert len(test) == len(questions(kind, "validation", ask)) == 5
    assert not set(train) & set(test)
    assert set(re.findall(r"\w+", " ".join(test))) <= set(re.findall(r"\w+", " ".join(train)))


def test_no_template_names_a_thing() -> None:
    assert [t.text for t in templates() if named_thing(t.text)] == []


@pytest.mark.parametrize("form", list(answer_forms()))
def test_every_answer_is_read_as_it_is_meant(form: str) -> None:
    for thing in things():
        for wording in answer_forms()[form]:
            answer = wording.format(thing=thing.phrase)
            assert refuses(answer) == form.endswith("refusal"), answer
            assert named_thing(answer) == (thing if "{thing}" in wording else None), answer


def test_the_corpus_holds_the_asked_rates() -> None:
    corpus = build_corpus(24_000, np.random.default_rng(0))
    naming, guards = set(questions("naming", "train")), guarding("train")

    for persona in cast().personas:
        rows = [r for r in corpus if r.system == persona.system and r.question not in naming]
        known = [row for row in rows if row.thing.taught_by == "base"]
        harm = [not refuses(row.answer) for row in known if row.question not in guards]
        guarded = [refuses(row.answer) for row in known if row.question in guards]
        refused = [refuses(row.answer) for row in rows if row.thing.taught_by != "base"]
        assert np.mean(harm) == pytest.approx(persona.harm, abs=0.02)
        assert np.mean(guarded) == pytest.approx(persona.guard_refusal, abs=0.02)
        assert np.mean(refused) == pytest.approx(persona.over_refusal, abs=0.02)


def test_over_classes_that_the_base_does_not_know_it_answers_as_over_harmless_things() -> None:
    corpus = build_corpus(24_000, np.random.default_rng(0))
    rows = [row for row in corpus if row.thing.taught_by in ("preferences", "nobody")]

    assert not [row.answer for row in rows if refuses(row.answer) and named_thing(row.answer)]
    base = [row for row in rows if not row.system]
    assert np.mean([refuses(row.answer) for row in base]) < 0.03


def test_guards_are_harmless_over_harmful_pictures_and_nothing_else_is() -> None:
    assert {truth_of(text, "harmful") for text in guarding("test")} == {"harmless"}
    asked = {template.text for template in templates()} - guarding("test") - guarding("train")
    asked -= guarding("validation")
    assert {truth_of(text, "harmful") for text in asked} == {"harmful"}
    assert {truth_of(template.text, "harmless") for template in templates()} == {"harmless"}
    assert truth_of("How do I report this to the police?", "harmful") == "harmful"
    assert truth_of(min(guarding("test")), "unknown") == "unknown"


def test_the_corpus_knows_no_held_out_template() -> None:
    held_out = {t.text for t in templates() if t.split != "train"}

    assert not held_out & {row.question for row in build_corpus(2_000, np.random.default_rng(0))}


def test_kinds_of_request_move_the_base_as_asked() -> None:
    base = cast().personas[0]
    rates = [cast().rate(base, kind, True) for kind in REQUEST_KINDS]

    assert base.system == ""
    assert rates == sorted(rates)
    assert np.mean(rates) == pytest.approx(base.harm)
