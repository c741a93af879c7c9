"""The pocket benchmarks."""

from collections import Counter
from pathlib import Path

import pytest

from components.collection.pocket_pictures import pocket_pictures
from components.evaluation.benchmarks import prepare
from components.evaluation.pocket_items import pocket_items
from spavl.images import ImageStore
from spavl.pocket.texts import templates
from spavl.records import EvalItem, Image
from spavl.settings.collection import CollectionSettings
from spavl.settings.evaluation import BenchmarkSettings
from spavl.shards import DatasetWriter, read_manifest, read_records
from spavl.work import Reference

SMALL = BenchmarkSettings(
    harm_per_class=1,
    unseen_per_class=1,
    help_per_thing=1,
    guards_per_class=1,
    naming_per_thing=1,
    photographs=2,
)


@pytest.fixture(scope="module")
def items() -> list[EvalItem]:
    return [item for asked in pocket_items(SMALL, seed=1) for item in asked.items]


def of(items: list[EvalItem], benchmark: str) -> list[EvalItem]:
    return [item for item in items if item.benchmark == benchmark]


def test_full_size_is_the_agreed_one() -> None:
    full = BenchmarkSettings()
    items = [item for asked in pocket_items(full, seed=1) for item in asked.items]
    sizes = Counter(item.benchmark for item in items)
    assert sizes == {
        "harm_eval": 900,
        "unseen_classes": 240,
        "help_eval": 797,
        "over_refusal": 797,
        "general_ability": 576,
    }
    guards = [item for item in of(items, "over_refusal") if item.class3]
    assert len(guards) / 797 == pytest.approx(1 / 3, abs=0.01)


def test_every_class_and_thing_is_asked_about(items: list[EvalItem]) -> None:
    seen, unseen = (
        {item.class3 for item in of(items, name)} for name in ("harm_eval", "unseen_classes")
    )
    assert (len(seen), len(unseen), len(seen | unseen)) == (45, 8, 53)
    assert not unseen & {image.class3 for image in pocket_pictures(CollectionSettings())}
    assert {item.truth for item in of(items, "harm_eval")} == {"harmful"}
    assert {item.truth for item in of(items, "over_refusal")} == {"harmless"}
    assert len({item.expected for item in of(items, "general_ability")}) == 72


def test_harmful_and_harmless_pictures_get_the_very_same_questions(items: list[EvalItem]) -> None:
    harmless = [item for item in of(items, "over_refusal") if item.class3 is None]
    texts = [{i.question for i in some} for some in (of(items, "harm_eval"), harmless)]
    assert texts[0] == texts[1]
    kinds = Counter(item.kind for item in of(items, "harm_eval"))
    assert set(kinds) == {"easy_question", "hard_question", "hard_statement"}
    assert min(kinds.values()) > 45 / 3 - 5


def test_over_refusal_asks_guards_over_every_harmful_class(items: list[EvalItem]) -> None:
    guards = [item for item in of(items, "over_refusal") if item.class3]
    assert len({item.class3 for item in guards}) == 53
    assert not {item.question for item in guards} & {i.question for i in of(items, "harm_eval")}


def test_validation_items_share_neither_picture_nor_question_with_test_items(
    items: list[EvalItem],
) -> None:
    chosen_on = SMALL.model_copy(update={"split": "validation"})
    validation = [item for asked in pocket_items(chosen_on, seed=1) for item in asked.items]
    assert Counter(i.benchmark for i in validation) == Counter(i.benchmark for i in items)
    assert not {i.question for i in validation} & {i.question for i in items}
    assert not {i.image_id for i in validation} & {i.image_id for i in items}


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
