"""The pocket benchmarks."""

from collections import Counter
from pathlib import Path

import pytest

from components.evaluation.benchmarks import prepare
from components.evaluation.pocket_items import pocket_items
from spavl.images import ImageStore
from spavl.pocket.texts import templates
from spavl.records import EvalItem, Image
from spavl.settings.evaluation import BenchmarkSettings
from spavl.shards import DatasetWriter, read_manifest, read_records
from spavl.work import Reference

SMALL = BenchmarkSettings(harm_per_class=1, help_per_thing=1, naming_per_thing=1, photographs=2)


@pytest.fixture(scope="module")
def items() -> list[EvalItem]:
    return [item for asked in pocket_items(SMALL, seed=1) for item in asked.items]


def of(items: list[EvalItem], benchmark: str) -> list[EvalItem]:
    return [item for item in items if item.benchmark == benchmark]


def test_full_size_is_the_agreed_one() -> None:
    full = BenchmarkSettings()
    assert (53 * full.harm_per_class, 19 * full.help_per_thing) == (1060, 532)


def test_every_class_and_thing_is_asked_about(items: list[EvalItem]) -> None:
    assert len({item.class3 for item in of(items, "harm_eval")}) == 53
    assert {item.truth for item in of(items, "harm_eval")} == {"harmful"}
    assert {item.truth for item in of(items, "over_refusal")} == {"harmless"}
    assert len({item.expected for item in of(items, "general_ability")}) == 72


def test_harmful_and_harmless_pictures_get_the_very_same_questions(items: list[EvalItem]) -> None:
    texts = [{i.question for i in of(items, name)} for name in ("harm_eval", "over_refusal")]
    assert texts[0] == texts[1]
    kinds = Counter(item.kind for item in of(items, "harm_eval"))
    assert set(kinds) == {"easy_question", "hard_question", "hard_statement"}
    assert min(kinds.values()) > 53 / 3 - 5


def test_help_and_over_refusal_ask_the_same_of_the_same_pictures(items: list[EvalItem]) -> None:
    pairs = [
        {(i.image_id, i.question) for i in of(items, n)} for n in ("help_eval", "over_refusal")
    ]
    assert pairs[0] == pairs[1]


def test_every_question_is_held_out_of_training(items: list[EvalItem]) -> None:
    trained = {template.text for template in templates() if template.split != "test"}
    assert not {item.question for item in items} & trained


def test_no_question_names_what_the_picture_shows(items: list[EvalItem]) -> None:
    assert all((item.thing or "?") not in item.question.casefold() for item in items)


def test_only_pictures_of_unknown_truth_become_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    with DatasetWriter(tmp_path / "store", Image) as writer:
        for k, truth in enumerate(["unknown", "harmful", "unknown", "unknown"]):
            facts = (truth, None, None, None, None)
            writer.add(Image(f"i{k}", f"bytes{k}".encode(), "image/png", 1, 1, "t", *facts))
    images = Reference(str(tmp_path / "store"), read_manifest(tmp_path / "store").digest)
    prepared = prepare({"benchmarks": SMALL.model_dump()}, images)
    found = list(read_records(Path(prepared.uri) / "items", EvalItem))
    photographs = of(found, "photographs")
    assert Counter(item.image_id for item in photographs) == {"i0": 3, "i2": 3}
    assert {(item.truth, item.source) for item in photographs} == {("unknown", "photographs")}
    assert ImageStore(prepared.uri + "/images").content("i2") == b"bytes2"
    assert len({item.item_id for item in found}) == len(found)
