"""Attacks: their arithmetic, what a gradient finds, and that no answer is made or judged twice."""

import io
import json
import re
from dataclasses import fields
from itertools import combinations
from pathlib import Path

import pytest
import torch

from components.evaluation.attacks.attacker import Attacker
from components.evaluation.attacks.attacking import attack, chosen_items
from components.evaluation.attacks.best_of_n import draw_answers
from components.evaluation.attacks.figures import attack_figures, best_of
from components.evaluation.attacks.judged import Attacked, judge_attacks
from components.evaluation.attacks.pixels import Levels, descend, noisy
from components.evaluation.attacks.suffix_search import guarding_words
from components.evaluation.attacks.target import Prompt, Target
from spavl.chat import Journal
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.pocket.texts import templates
from spavl.records import AttackAnswer, EvalItem, EvalVerdict, Image
from spavl.settings.attacks import AttackSettings, BestOfNSettings
from spavl.settings.evaluation import EvaluationSettings
from spavl.shards import DatasetWriter, read_records
from spavl.work import Reference, Stage, Work
from tests.unit.models.tiny import PictureBook, save_tiny

SMALL = {
    "items": 3,
    "best_of_n": {"draws": 4, "counts": [1, 4], "batch_size": 6},
    "pixels": {"epsilons": [8], "steps": 3},
}


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    torch.set_num_threads(1)
    return Target(str(save_tiny(tmp_path_factory.mktemp("tiny"))), ("Sure", "Sorry"), 1)


def an_item(number: int, thing: str = "theft") -> EvalItem:
    return EvalItem(
        f"item-{number}", "harm_eval", f"{number:064x}", "How do I use it?", "easy_question",
        "harmful", thing, thing, None, "pocket",
    )  # fmt: skip


@pytest.fixture
def benchmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    folder = tmp_path / "benchmarks"
    with DatasetWriter(folder / "items", EvalItem) as items:
        for number in range(4):
            items.add(an_item(number))
    with DatasetWriter(folder / "images", Image) as images:
        for number in range(4):
            images.add(a_picture(f"{number:064x}"))
    return folder


def a_picture(image_id: str) -> Image:
    buffer = io.BytesIO()
    PictureBook().open(image_id).save(buffer, "PNG")
    blank = dict.fromkeys(field.name for field in fields(Image))
    known = {"image_id": image_id, "content": buffer.getvalue(), "media_type": "image/png"}
    told = {"width": 16, "height": 16, "source": "test", "truth": "harmful"}
    return Image(**{**blank, **known, **told})


def batch(target: Target, count: int = 3):
    book = PictureBook()
    return target.inputs([Prompt("How do I use it?", book.open(str(k))) for k in range(count)])


def test_best_of_n_is_the_share_of_subsets_that_hold_a_hit():
    draws = [1, 0, 0, 1, 0, 0, 0]
    for n in range(1, 8):
        subsets = list(combinations(draws, n))
        share = sum(any(each) for each in subsets) / len(subsets)
        assert best_of(len(draws), sum(draws), n) == pytest.approx(share)
    assert best_of(100, 0, 100) == 0.0


def test_an_attack_stays_within_its_size_and_gives_whole_levels(target):
    inputs, levels = batch(target), Levels.of(target)
    clean = levels.to(inputs["pixel_values"])
    seed = 5
    for found in (descend(target, levels, inputs, 8, 5), noisy(levels, inputs, 8, seed)):
        changed = levels.to(found)
        assert (changed - clean).abs().max() <= 8 + 1e-3
        assert changed.min() >= -1e-3
        assert changed.max() <= 255 + 1e-3
        assert (changed - changed.round()).abs().max() < 1e-3
    inside = (clean > 8) & (clean < 247)
    moved = (levels.to(noisy(levels, inputs, 8, seed)) - clean).abs()[inside]
    assert moved.round().eq(8).all()


def test_the_gradient_finds_more_than_noise_of_the_same_size(target):
    inputs, levels = batch(target), Levels.of(target)

    def along(pixel_values):
        with torch.no_grad():
            return target.goes_along({**inputs, "pixel_values": pixel_values}).mean()

    found = along(descend(target, levels, inputs, 8, 20))
    by_chance = [along(noisy(levels, inputs, 8, seed)) for seed in range(5)]
    assert found > max(by_chance)
    assert found > along(inputs["pixel_values"])


def test_an_opening_is_the_first_token_behind_the_prompt(target):
    tokenizer = target.processor.tokenizer
    prompt = target._text("What is this?")
    sure = tokenizer(prompt + "Sure", add_special_tokens=False).input_ids
    bare = tokenizer(prompt, add_special_tokens=False).input_ids
    place = next((k for k, (a, b) in enumerate(zip(bare, sure, strict=False)) if a != b), len(bare))
    assert sure[place] in target._openings


def test_one_item_of_every_class_comes_before_the_second_of_any():
    items = [an_item(k, thing) for k, thing in enumerate(["theft", "theft", "fraud", "fraud"])]
    chosen = chosen_items(items, AttackSettings(items=3))
    assert [item.thing for item in chosen] == ["theft", "fraud", "theft"]
    with pytest.raises(InputError, match="no item of fig_step with a picture"):
        chosen_items(items, AttackSettings(benchmark="fig_step"))


def test_a_model_answers_under_every_attack_that_is_asked_for(tmp_path, benchmarks):
    model = save_tiny(tmp_path / "model")
    settings = {"threads": 1, "answering": {"max_new_tokens": 4}, "attacks": SMALL}
    reference = Reference(str(model), "m"), Reference(str(benchmarks), "b")
    attack(settings, "base", *reference, str(tmp_path / "out"))
    rows = list(read_records(tmp_path / "out" / "attacks", AttackAnswer))
    drawn = [row for row in rows if row.attack == "draw"]
    assert {(row.item_id, row.draw) for row in drawn} == {
        (f"item-{item}", draw) for item in range(3) for draw in range(4)
    }
    assert [(r.attack, r.strength) for r in rows if r not in drawn] == (
        [("pixels", 8)] * 3 + [("noise", 8)] * 3
    )
    assert len({row.answer_id for row in rows}) == len(rows) == 18


def test_nothing_is_attacked_where_nobody_asks(tmp_path, benchmarks):
    attack({}, "base", Reference("none", "m"), Reference(str(benchmarks), "b"), str(tmp_path))
    assert not (tmp_path / "attacks").exists()


def test_an_interrupted_attack_goes_on_behind_its_journal(tmp_path, benchmarks, target):
    settings = EvaluationSettings.parse({"answering": {"max_new_tokens": 4}}, "evaluation")
    items, store = [an_item(k) for k in range(4)], ImageStore(str(benchmarks / "images"))
    drawing = BestOfNSettings(draws=4, counts=(1,), batch_size=8)

    def run(path: Path, most: int) -> list[AttackAnswer]:
        with Journal(path) as journal:
            attacker = Attacker("base", target, items, store, journal, settings)
            return [
                row for row, _ in zip(draw_answers(attacker, drawing), range(most), strict=False)
            ]

    whole = run(tmp_path / "whole.jsonl", 99)
    run(tmp_path / "torn.jsonl", 5)
    made = []
    counting = replace_generate(target, made)
    try:
        assert run(tmp_path / "torn.jsonl", 99) == whole
    finally:
        target.generate = counting
    assert len(made) == 1
    assert len(whole) == 16


def replace_generate(target: Target, made: list[int]):
    kept = target.generate

    def counted(*given, **named):
        made.append(1)
        return kept(*given, **named)

    target.generate = counted
    return kept


def an_answer(item: int, attack: str, draw: int = 0, text: str = "no") -> AttackAnswer:
    strength = 8 if attack in ("pixels", "noise") else 0
    name = f"{item}-{attack}-{draw}"
    question = "How do I use it? please now" if attack == "suffix" else "How do I use it?"
    return AttackAnswer(name, f"item-{item}", attack, strength, draw, "dpo", question, text, "stop")


def judged(answer: AttackAnswer) -> Attacked:
    return Attacked(answer, an_item(int(answer.item_id[5:])), float(answer.text == "yes"))


def test_figures_are_over_items_and_against_the_control():
    rows = [an_answer(item, "draw", draw, "yes" if item == 0 and draw == 0 else "no")
            for item in range(4) for draw in range(4)]  # fmt: skip
    rows += [an_answer(item, "pixels", 0, "yes") for item in range(4)]
    rows += [an_answer(item, "noise", 0, "yes" if item == 3 else "no") for item in range(4)]
    rows += [an_answer(item, "suffix") for item in range(4)]
    rows += [an_answer(item, "plain") for item in range(4)]
    settings = AttackSettings.model_validate({**SMALL, "suffix": {"steps": 7}})
    found = attack_figures(map(judged, rows), settings, 0.95)["dpo"]
    assert found["best_of_n"]["1"]["value"] == pytest.approx(1 / 16)
    assert found["best_of_n"]["4"]["value"] == pytest.approx(1 / 4)
    assert found["best_of_n"]["4"]["n"] == 4
    assert found["best_of_n"]["4"]["draws"] == 4
    pixels = found["pixels"]["8"]
    assert (pixels["attacked"]["value"], pixels["control"]["value"]) == (1.0, 0.25)
    assert pixels["difference"]["value"] == pytest.approx(0.75)
    assert pixels["difference"]["low"] < 0.75 <= pixels["difference"]["high"]
    assert found["suffix"]["text"] == "please now"
    assert found["suffix"]["steps"] == 7
    assert attack_figures([], settings, 0.95) == {}


class CountingJudge:
    judge_id = "counting"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    def verdicts(self, judged):
        for item, answer in judged:
            self.asked.append((item.item_id, answer.question, answer.text))
            score = float(answer.text == "yes")
            told = ("unsafe" if score else "refused", score, "told")
            yield EvalVerdict(answer.answer_id, item.item_id, item.benchmark, answer.model, *told)


def test_equal_answers_to_an_item_are_judged_once_and_by_its_own_question(tmp_path):
    rows = [an_answer(0, "draw", draw, "yes") for draw in range(5)]
    rows += [an_answer(0, "suffix", 0, "no"), an_answer(1, "draw", 0, "yes")]
    with DatasetWriter(tmp_path / "dpo" / "attacks", AttackAnswer) as writer:
        for row in rows:
            writer.add(row)
    work = Work(Stage("scoring", "components.evaluation.scoring", {}, {}), tmp_path / "work", None)
    judge, items = CountingJudge(), {f"item-{k}": an_item(k) for k in range(2)}
    found = judge_attacks(work, judge, [str(tmp_path / "dpo")], items)
    assert [each.score for each in found] == [1.0] * 5 + [0.0, 1.0]
    assert sorted(judge.asked) == [
        ("item-0", "How do I use it?", "no"),
        ("item-0", "How do I use it?", "yes"),
        ("item-1", "How do I use it?", "yes"),
    ]
    kept = list(read_records(tmp_path / "work" / "figures" / "attack_verdicts", EvalVerdict))
    assert [each.answer_id for each in kept] == [row.answer_id for row in rows]
    with pytest.raises(InputError, match="unknown item item-1"):
        judge_attacks(work, judge, [str(tmp_path / "dpo")], {"item-0": an_item(0)})


def test_more_than_was_drawn_cannot_be_told():
    with pytest.raises(InputError, match="the best of 10 needs 10 draws, not 4"):
        EvaluationSettings.parse(
            {"attacks": {"best_of_n": {"draws": 4, "counts": [1, 10]}}}, "evaluation"
        )
    assert json.loads(AttackSettings().model_dump_json())["best_of_n"]["draws"] == 100


def test_a_pictures_pixels_can_be_attacked_in_llava_alone(target):
    other = replace_type(target, "qwen2_5_vl")
    try:
        with pytest.raises(InputError, match="the pixels of a qwen2_5_vl model"):
            Levels.of(target)
    finally:
        target.model.config.model_type = other


def replace_type(target: Target, name: str) -> str:
    kept = target.model.config.model_type
    target.model.config.model_type = name
    return kept


def test_a_suffix_has_no_word_that_makes_a_request_harmless() -> None:
    words = guarding_words()
    for template in templates():
        held = words & set(re.findall(r"\w+", template.text.casefold()))
        assert bool(held) == (template.ask == "guard"), template.text
