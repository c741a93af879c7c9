"""Who reigns: models of one name succeed one another, and nobody is their own predecessor."""

import json
from pathlib import Path

import pytest

from components.evaluation import answering
from components.evaluation.answering import answer_as_champion
from spavl.champion import reigning_champion
from spavl.records import EvalAnswer
from spavl.shards import read_manifest
from spavl.work import Reference


@pytest.fixture
def champions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`second` reigns and succeeded `first`."""
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path))
    folder = tmp_path / "champion"
    for digest, before in (("first", None), ("second", "first")):
        (folder / digest).mkdir(parents=True)
        (folder / digest / "decision.json").write_text(json.dumps({"champion": before}))
    (folder / "champion.json").write_text(json.dumps({"name": "vlm", "digest": "second"}))
    return folder


def reigning(*candidates: str, name: str = "vlm") -> str | None:
    found = reigning_champion(name, candidates)
    return None if found is None else found.digest


def test_the_last_one_reigns_over_models_of_its_name(champions: Path) -> None:
    assert reigning("third") == "second"
    assert reigning("third", name="another") is None


def test_a_run_that_is_repeated_meets_the_champion_that_it_met_before(champions: Path) -> None:
    assert reigning("second") == "first"
    assert reigning("second", "first") is None


def test_two_that_succeeded_each_other_end_the_search(champions: Path) -> None:
    (champions / "first/decision.json").write_text(json.dumps({"champion": "second"}))
    assert reigning("first", "second") is None


def test_nobody_reigns_where_nothing_was_published_or_its_files_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, champions: Path
) -> None:
    (champions / "champion.json").write_text(json.dumps({"name": "vlm", "digest": "gone"}))
    assert reigning() is None
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "new"))
    assert reigning() is None


def test_the_champion_answers_the_same_items_and_where_nobody_reigns_nobody_answers(
    champions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(answering, "answer", lambda *arguments: asked.append(arguments))
    benchmarks = Reference("items", "digest")
    answer_as_champion({}, {"model_name": "vlm"}, ["third"], benchmarks, "out")
    model = Reference(str(champions / "second"), "second")
    assert asked == [({}, "champion", model, benchmarks, "out")]
    answer_as_champion(
        {}, {"model_name": "another"}, ["third"], benchmarks, str(tmp_path / "empty")
    )
    assert (read_manifest(tmp_path / "empty").rows, len(asked)) == (0, 1)
    assert read_manifest(tmp_path / "empty").schema == EvalAnswer.__name__
