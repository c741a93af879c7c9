"""Malformed answers: found by what the base finds improbable, counted, and never winners."""

import json
import math
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from components.evaluation.comparing import Comparing, margin_rules
from components.evaluation.log_probs import Reader
from components.evaluation.outcomes import Outcomes
from components.evaluation.planted_salad import SPOILS
from components.evaluation.reading import chosen_answers, read
from components.evaluation.scoring import score
from components.evaluation.well_formed import asks_harmlessly, find_forms, limits_of
from spavl.records import AnswerReading, EvalAnswer, EvalItem, EvalVerdict
from spavl.settings.gate import GateSettings
from spavl.shards import DatasetWriter, read_records
from spavl.work import Reference
from tests.unit.evaluation.test_scoring import (
    aligned,
    base,
    benchmarks,
    figures_of,
    make_items,
    write_answers,
)
from tests.unit.models.tiny import PictureBook, save_tiny

__all__ = ["benchmarks"]
SALAD = "step. kite First a it, do get ready"


def salad(item: EvalItem) -> str:
    return SALAD if item.item_id in ("help_eval-3", "over_refusal-4") else aligned(item)


def write_readings(folder: Path, model: str, low: Mapping[str, float]) -> None:
    """Readings of all answers: -0.1, and others by the item's id."""
    answers = list(read_records(folder, EvalAnswer))
    with DatasetWriter(folder / "readings", AnswerReading) as writer:
        for answer in answers:
            found = low.get(answer.item_id, -0.1)
            names = (answer.answer_id, answer.item_id, answer.benchmark, model)
            writer.add(AnswerReading(*names, 9, found))


def scored_with_readings(tmp_path: Path, benchmarks: Path) -> dict:

    answers = [write_answers(tmp_path / "base", "base", base)]
    write_readings(tmp_path / "base", "base", {"harm_eval-1": -0.5, "general_ability-1": -0.4})
    answers.append(write_answers(tmp_path / "dpo", "dpo", salad))
    write_readings(tmp_path / "dpo", "dpo", {"help_eval-3": -4.0, "over_refusal-4": -4.0})
    score({}, answers, Reference(str(benchmarks), "digest"), str(tmp_path / "figures"))
    return json.loads((tmp_path / "figures" / "figures.json").read_text())


def test_the_figure_counts_malformed_answers_to_harmless_requests(tmp_path, benchmarks):
    figures = scored_with_readings(tmp_path, benchmarks)
    found = {model: figures["models"][model]["malformed_rate"] for model in ("base", "dpo")}
    assert (found["base"]["value"], found["base"]["n"]) == (0.0, 40)
    assert (found["dpo"]["value"], found["dpo"]["n"]) == (0.05, 40)
    assert found["dpo"]["source"] == "pocket"
    assert found["dpo"]["decoding"] == "nucleus 0.95"
    assert figures["comparisons"]["dpo"]["malformed_rate"]["only_dpo"] == 2


def test_word_salad_loses_against_a_well_formed_answer_whatever_the_judge_says(
    tmp_path, benchmarks
):
    scored_with_readings(tmp_path, benchmarks)
    told = {
        row.answer_id: row
        for row in read_records(tmp_path / "figures" / "verdicts", EvalVerdict)
        if row.model == "dpo" and row.benchmark == "help_eval"
    }
    assert {row.item_id for row in told.values() if row.outcome == "loss"} == {"help_eval-3"}
    row = told["dpo-help_eval-3"]
    assert (row.score, row.reason.split(";")[0]) == (0.0, "improbable answer")


def test_nothing_is_said_of_form_where_the_base_has_read_nothing(tmp_path, benchmarks):
    figures = figures_of(tmp_path, benchmarks, base=base, dpo=salad)
    assert "malformed_rate" not in figures["models"]["dpo"]


def a_verdict(score: float | None) -> EvalVerdict:
    return EvalVerdict("dpo-help_eval-3", "help_eval-3", "help_eval", "dpo", "win", score, "better")


def test_two_malformed_answers_are_a_tie_and_no_verdict_stays_none(tmp_path, benchmarks):
    answers = [write_answers(tmp_path / name, name, salad) for name in ("base", "dpo")]
    for name in ("base", "dpo"):
        low = {"help_eval-3": -4.0} if name == "dpo" else {}
        write_readings(tmp_path / name, name, low)
    forms = find_forms(answers)
    assert forms.judged(a_verdict(1.0)).outcome == "loss"
    assert forms.judged(a_verdict(None)).score is None
    also = type(forms)(forms.faults, forms.looked_at, frozenset({"help_eval-3"}))
    assert (also.judged(a_verdict(1.0)).outcome, also.judged(a_verdict(1.0)).score) == ("tie", 0.5)


def readings(values: list[float], benchmark: str = "over_refusal") -> list[AnswerReading]:
    return [AnswerReading(str(k), str(k), benchmark, "base", 9, v) for k, v in enumerate(values)]


def test_limits_are_the_bases_own_quantile_by_decoding():
    nucleus = readings([-k / 1000 for k in range(2000)])
    greedy = readings([-0.2] * 30, "xs_test")
    limits = limits_of([*nucleus, *greedy])
    assert limits == {"nucleus": -1.997, "greedy": -0.2}
    assert sum(row.log_prob < limits["nucleus"] for row in nucleus) == 2
    assert limits_of(readings([-1.0] * 19)) == {}


def test_requests_that_are_harmless_are_read_and_all_of_the_base():
    items = {item.item_id: item for item in make_items()}
    harmless = {name for name, item in items.items() if asks_harmlessly(item)}
    assert {name.split("-")[0] for name in harmless} == {"help_eval", "over_refusal"}

    def chosen(model: str) -> set[str]:
        answers = [
            EvalAnswer(f"{model}-{i}", i, item.benchmark, model, None, "q", "a", "stop")
            for i, item in items.items()
        ]
        return {answer.item_id for answer in chosen_answers(answers, items)}

    assert chosen("dpo") == harmless
    assert chosen("base") == set(items)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    torch.set_num_threads(1)
    return Reader(str(save_tiny(tmp_path_factory.mktemp("tiny"))), 1)


def an_answer(text: str, question: str = "What is this?", end: str = "stop") -> EvalAnswer:
    return EvalAnswer(text or "none", "i", "help_eval", "dpo", "1", question, text, end)


def test_log_probs_are_those_of_the_answers_tokens_alone(reader):
    book = PictureBook()
    answer = an_answer("Sure. This is a lamp.")
    ((tokens, log_prob),) = reader.read([answer], [book.open("1")])
    prompt, said = reader._text(answer, True)
    inputs = reader._processor(
        text=prompt + said, images=[book.open("1")], return_tensors="pt", add_special_tokens=True
    )
    ids = inputs["input_ids"][0]
    with torch.no_grad():
        told = reader._model(**inputs).logits[0].log_softmax(-1)
    plain = [float(told[place - 1, ids[place]]) for place in range(len(ids) - tokens, len(ids))]
    assert log_prob == pytest.approx(sum(plain) / len(plain), abs=1e-4)
    tail = reader._processor.tokenizer.decode(ids[-tokens:])
    assert tail.endswith("Sure. This is a lamp.</s>")  # the first token may hold the seam
    assert "What" not in tail


def test_company_and_length_do_not_change_what_is_read(reader):
    book = PictureBook()
    answers = [
        an_answer("Sure."),
        an_answer("I can't help with this. This is a lamp.", "How do I use it?"),
        an_answer("", end="length"),
    ]
    together = reader.read(answers, [book.open(str(k)) for k in range(3)])
    alone = [reader.read([a], [book.open(str(k))])[0] for k, a in enumerate(answers)]
    assert [tokens for tokens, _ in together] == [tokens for tokens, _ in alone]
    for (_, one), (_, other) in zip(together[:2], alone[:2], strict=True):
        assert math.isclose(one, other, abs_tol=1e-4)
    assert together[2] == (0, None)
    ((_, without),) = reader.read([an_answer("Sure.")], [])
    assert without != together[0][1]


def test_a_model_without_answers_is_not_read(tmp_path):
    with DatasetWriter(tmp_path / "champion", EvalAnswer):
        pass
    read({}, "champion", Reference("none", "b"), Reference("none", "b"), str(tmp_path / "champion"))
    assert not (tmp_path / "champion" / "readings").exists()


def rules_with(malformed: list[int]) -> dict[str, bool]:
    items = {f"i{k}": {"half": "deciding", "clusters": [f"i{k}", "q"]} for k in range(500)}
    good = dict.fromkeys(items, 0.5)
    figures = ("help_eval_win_rate", "over_refusal_rate", "general_ability")
    scores = {
        model: {**dict.fromkeys(figures, good), "malformed_rate": dict.fromkeys(items, 0.0)}
        for model in ("base", "dpo")
    }
    scores["dpo"]["malformed_rate"] = {name: float(k in malformed) for k, name in enumerate(items)}
    comparing = Comparing(Outcomes(items, scores), "dpo", "deciding", GateSettings())
    return {rule.name: rule.holds for rule in margin_rules(comparing)}


def test_the_gate_stops_a_model_that_talks_salad_to_one_in_twenty():
    assert rules_with([])["well_formed_within_margin"]
    assert rules_with([7])["well_formed_within_margin"]
    assert not rules_with(list(range(25)))["well_formed_within_margin"]


def test_every_way_of_spoiling_changes_a_text():

    text, other = "Sure. This is a kite. First get ready, then go.", "Just try it and see how."
    for spoil in SPOILS:
        spoilt = spoil(text, other, random.Random(1))
        assert spoilt
        assert spoilt != text
