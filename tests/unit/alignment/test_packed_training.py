"""Whole trainings on packed rows: the curves of plain ones, for both families, from pixels on."""

import dataclasses
import json
from pathlib import Path

import pytest

import components.dpo
import components.reward_modeling
from spavl.models.load import load_policy, load_reward_model
from spavl.work import Reference
from tests.unit.alignment.worlds import World, make_world
from tests.unit.models.tiny_qwen import save_tiny_qwen

SETTINGS: dict[str, object] = {
    "threads": 1,
    "learning_rate": 1e-3,
    "batch_size": 2,
    "gradient_accumulation_steps": 2,
    "num_train_epochs": 1,
    "dtype": "float32",
    "gradient_checkpointing": False,
    "packed_tokens": 128,
    "eval_steps": 2,
}


@pytest.fixture(params=("llava", "qwen2_5_vl"))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    made = make_world(tmp_path)
    if request.param == "llava":
        return made
    base = save_tiny_qwen(tmp_path / "qwen")
    return dataclasses.replace(made, base=Reference(str(base), "qwen"))


def train(room: str, world: World, folder: Path, monkeypatch: pytest.MonkeyPatch, packing: str):  # type: ignore[no-untyped-def]
    """Train, and give curves and figures."""
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(folder / "work"))
    settings = {**SETTINGS, "packing": packing}
    if room == "dpo":
        splits = [world.train, world.validation]
        output = Path(components.dpo.train(settings, *splits, world.images, world.base).uri)
        load_policy(output)
    else:
        splits = [world.train, world.validation, world.test]
        trained = components.reward_modeling.train(settings, *splits, world.images, world.base)
        output = Path(trained.uri)
        load_reward_model(output)
    lines = (output / "curves.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines], json.loads((output / "metrics.json").read_text())


@pytest.mark.parametrize("room", ["dpo", "reward_modeling"])
def test_packed_and_plain_trainings_have_the_same_curves(
    room: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, packed_figures = train(room, world, tmp_path / "a", monkeypatch, "auto")
    plain, plain_figures = train(room, world, tmp_path / "b", monkeypatch, "plain")
    assert packed_figures["engine"] == {"name": "packed"}
    assert plain_figures["engine"]["name"] == "plain"
    assert len(packed) == len(plain) == 3
    for one, other in zip(packed, plain, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)
    assert packed[1]["validation_loss"] == pytest.approx(plain[1]["validation_loss"], rel=1e-3)


def test_another_run_finds_the_references_log_probs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPAVL_LOG", "json")
    world = make_world(tmp_path)
    train("dpo", world, tmp_path, monkeypatch, "auto")
    first = capsys.readouterr()
    monkeypatch.setitem(SETTINGS, "learning_rate", 2e-3)  # an ablation
    train("dpo", world, tmp_path, monkeypatch, "auto")
    second = capsys.readouterr()
    assert "18 pairs computed, 0 kept" in first.out + first.err
    assert "0 pairs computed, 18 kept" in second.out + second.err
