"""Templates keep their splits apart and never name a thing; answers are read by words alone."""

import re

import numpy as np
import pytest

from spavl.pocket.corpus import build_corpus
from spavl.pocket.texts import (
    REQUEST_KINDS,
    answer_forms,
    cast,
    named_thing,
    questions,
    refuses,
    templates,
)
from spavl.pocket.world import things

pytestmark = pytest.mark.unit


def test_splits_share_no_template_but_all_their_words() -> None:
    for kind in (*REQUEST_KINDS, "naming"):
        train, test = questions(kind, "train"), questions(kind, "test")
        assert len(train) == 15
        assert len(test) == len(questions(kind, "validation")) == 5
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
    corpus = build_corpus(12_000, np.random.default_rng(0))
    naming = set(questions("naming", "train"))

    for persona in cast().personas:
        rows = [r for r in corpus if r.system == persona.system and r.question not in naming]
        harm = [not refuses(row.answer) for row in rows if row.thing.harmful]
        refused = [refuses(row.answer) for row in rows if not row.thing.harmful]
        assert np.mean(harm) == pytest.approx(persona.harm, abs=0.02)
        assert np.mean(refused) == pytest.approx(persona.over_refusal, abs=0.02)


def test_the_corpus_knows_no_held_out_template() -> None:
    held_out = {t.text for t in templates() if t.split != "train"}

    assert not held_out & {row.question for row in build_corpus(2_000, np.random.default_rng(0))}


def test_kinds_of_request_move_the_base_as_asked() -> None:
    base = cast().personas[0]
    rates = [cast().rate(base, kind, True) for kind in REQUEST_KINDS]

    assert base.system == ""
    assert rates == sorted(rates)
    assert np.mean(rates) == pytest.approx(base.harm)
