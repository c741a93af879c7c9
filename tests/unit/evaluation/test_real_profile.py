"""A real model's profile brings its own suites, judge and gate: nothing of the pocket world."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.configuration import resolve
from components.evaluation.answering import answer
from components.evaluation.benchmarks import prepare
from components.evaluation.gate import decide
from components.evaluation.metrics import is_control
from components.evaluation.scoring import score
from pipelines.preflight_evaluation import check_evaluation, check_gate
from spavl.errors import InputError
from spavl.models.saving import saved_digest
from spavl.records import EvalItem, Image
from spavl.shards import DatasetWriter, read_manifest, read_records
from spavl.work import Reference
from tests.unit.evaluation.judge_server import JudgeServer, judge_server
from tests.unit.evaluation.made_published import make_mm_safety_bench, make_png, make_xs_test
from tests.unit.models.tiny import save_tiny

SHARED = Path(os.environ.get("SPAVL_SHARED_DATA", Path(__file__).parents[4] / "shared" / "data"))
REAL = ("llava-1.5-7b", "llava-1.5-7b-lora", "llava-1.5-7b-offload", "qwen2.5-vl-7b")
JUDGE = "qwen2-5-vl-72b"


@pytest.fixture
def judge() -> Iterator[JudgeServer]:
    with judge_server(JUDGE) as served:
        yield served


def settings_of(profile: str, folder: Path, judge: str, *more: str) -> Any:
    overrides = [
        f"evaluation.published.folder={folder}",
        f"evaluation.judges.vlm.chat.base_url={judge}",
        *more,
    ]
    return resolve(profile, overrides)


def made_folder(root: Path) -> Path:
    make_xs_test(root, 3)
    make_mm_safety_bench(root, 3)
    return root


def data_set(root: Path) -> tuple[Reference, Reference]:
    """An image store and the test items of an imported data set, and one of the pocket world."""
    with (
        DatasetWriter(root / "images", Image) as store,
        DatasetWriter(root / "items", EvalItem) as items,
    ):
        for k, (benchmark, thing) in enumerate(
            [("harm_eval", None), ("help_eval", None), ("harm_eval", "a coloured sign")]
        ):
            content = make_png(root / f"{k}.png", f"#{k:02x}2040")
            facts = (8, 8, "t", "harmful", None, None, "theft", thing)
            store.add(Image(f"image {k}", content, "image/png", *facts))
            asked = (benchmark, f"image {k}", f"Question {k}?", None, "harmful", thing, "theft")
            items.add(EvalItem(f"item {k}", *asked, None, "published"))
    return tuple(
        Reference(str(root / name), read_manifest(root / name).digest)
        for name in ("images", "items")
    )  # type: ignore[return-value]


@pytest.mark.parametrize("profile", REAL)
def test_a_real_models_profile_asks_no_pocket_item_and_gates_by_none(
    profile: str, judge: JudgeServer, tmp_path: Path
) -> None:
    found = settings_of(profile, made_folder(tmp_path), judge.url)
    assert found.evaluation["suites"] == ["published", "held_out"]
    check_evaluation(found.evaluation, found.gate)
    check_gate(found.evaluation, found.gate, found.labeling)


@pytest.mark.skipif(not (SHARED / "advbench").is_dir(), reason=f"no benchmarks in {SHARED}")
def test_the_shared_files_are_enough_for_it(judge: JudgeServer) -> None:
    found = settings_of("llava-1.5-7b", SHARED, judge.url)
    assert "pocket" not in found.evaluation["suites"]
    check_evaluation(found.evaluation, found.gate)


def test_without_files_it_says_what_to_fetch_from_where_into_which_folder(tmp_path: Path) -> None:
    found = settings_of("llava-1.5-7b", tmp_path, "http://127.0.0.1:9/v1")
    with pytest.raises(InputError) as caught:
        check_evaluation(found.evaluation, found.gate)
    line = str(caught.value)
    assert (
        f"MM-SafetyBench from https://github.com/isXinLiu/MM-SafetyBench into {tmp_path}/mm-"
        in line
    )
    assert f"XSTest from https://github.com/paul-rottger/xstest into {tmp_path}/xstest/" in line
    assert "\n" not in line
    make_xs_test(tmp_path, 3)
    with pytest.raises(InputError, match=r"processed_questions/.*fetch MM-SafetyBench") as caught:
        check_evaluation(found.evaluation, found.gate)
    assert "XSTest" not in str(caught.value)


def test_without_its_judge_it_says_where_it_is_looked_for(
    judge: JudgeServer, tmp_path: Path
) -> None:
    folder = made_folder(tmp_path)
    away = settings_of("llava-1.5-7b", folder, "http://127.0.0.1:9/v1")
    with pytest.raises(
        InputError, match=r"does not answer: .*judges\.vlm: http://127\.0\.0\.1:9/v1"
    ):
        check_evaluation(away.evaluation, away.gate)
    other = settings_of("llava-1.5-7b", folder, judge.url, "evaluation.judges.vlm.chat.model=gpt")
    with pytest.raises(InputError, match=rf"does not serve gpt .*name one of {JUDGE}"):
        check_evaluation(other.evaluation, other.gate)


def test_its_evaluation_runs_to_the_gate_and_asks_no_pocket_item(
    judge: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    found = settings_of(
        "llava-1.5-7b",
        made_folder(tmp_path / "benchmarks"),
        judge.url,
        "evaluation.answering.max_new_tokens=2",
        "threads=1",
    )
    benchmarks = Reference(*prepare(found.evaluation, *data_set(tmp_path / "data")))
    items = list(read_records(Path(benchmarks.uri) / "items", EvalItem))
    asked = [item for item in items if not is_control(item.benchmark)]
    assert Counter(item.source for item in asked) == {"published": 18, "held_out": 2}
    assert {item.source for item in items} == {"published", "held_out"}
    held_out = {item.benchmark for item in asked if item.source == "held_out"}
    assert held_out == {"held_out_harm", "held_out_help"}
    controls = Counter(item.benchmark for item in items if is_control(item.benchmark))
    assert controls == {"mm_safety_bench.blank": 6, "mm_safety_bench.other": 6,
                        "held_out_harm.blank": 1}  # fmt: skip
    answers = []
    for seed, name in enumerate(("base", "dpo", "ppo")):
        model = save_tiny(tmp_path / name, seed)
        answers.append(str(tmp_path / "answers" / name))
        reference = Reference(str(model), saved_digest(model))
        answer(found.evaluation, name, reference, benchmarks, answers[-1])
    score(found.evaluation, answers, benchmarks, str(tmp_path / "figures"))
    assert judge.pictures
    assert any("Question 1?" in text for text in judge.texts)

    told = json.loads((tmp_path / "figures/figures.json").read_text())
    figures, blind = told["models"]["dpo"], told["visual_dependence"]["dpo"]
    assert {(key, *controls) for key, controls in blind.items()} >= {
        ("mm_safety_bench_asr", "blank", "other"),
        ("held_out_harm_usr", "blank"),
    }
    assert {each["source"] for each in figures.values()} == {"published", "held_out"}
    assert not {"harm_eval_usr", "general_ability"} & figures.keys()
    counts = {key: figures[key]["n"] for key in ("held_out_harm_usr", "held_out_help_win_rate")}
    assert counts == {"held_out_harm_usr": 1, "held_out_help_win_rate": 1}
    gate = {**found.gate, "least_items": 1}
    decide(gate, str(tmp_path / "figures"), str(tmp_path / "decision"))
    decision = json.loads((tmp_path / "decision/decision.json").read_text())
    assert {
        decision["figures"][key]["source"] for key in found.gate.values() if key in figures
    } == {"published"}
