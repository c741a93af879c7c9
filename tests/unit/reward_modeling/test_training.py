"""The reward model learns, forgets nothing when interrupted, and says what it left out."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from components.reward_modeling import train
from spavl.alignment.loop import Trainer
from spavl.alignment.rewards import RewardEngine
from spavl.errors import InputError
from spavl.models.load import load_reward_model
from tests.unit.alignment.worlds import World, make_preference, make_tokeniser, make_world

SETTINGS: dict[str, object] = {
    "threads": 1,
    "learning_rate": 3e-3,
    "batch_size": 4,
    "gradient_accumulation_steps": 1,
    "num_train_epochs": 4,
    "dtype": "float32",
    "gradient_checkpointing": False,
    "save_steps": 3,
    "eval_steps": 4,
}


def run(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> Path:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(folder / "work"))
    output = folder / "output"
    splits = (world.train, world.validation, world.test)
    train({**SETTINGS, **changes}, *splits, world.images, world.base, str(output))
    return output


def test_it_learns_its_training_pairs_and_reloads_in_one_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    output = run(world, tmp_path, monkeypatch)
    curves = [json.loads(line) for line in (output / "curves.jsonl").read_text().splitlines()]
    assert curves[-1]["loss"] < 0.3 * curves[0]["loss"]
    assert "validation_accuracy" in curves[3]
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["pair_accuracy"]["n"] == 6
    assert set(metrics["test"]["by_kind"]) == {"easy_question", "hard_question", "hard_statement"}
    model, _ = load_reward_model(output)
    head = load_file(output / "model.safetensors")["score.weight"]
    assert torch.equal(model.score.weight, head)


def test_the_vision_tower_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(tmp_path)
    trained, _ = load_reward_model(run(world, tmp_path, monkeypatch, num_train_epochs=1))
    base, _ = load_reward_model(world.base.uri)
    towers = (model.model.vision_tower.state_dict() for model in (trained, base))
    assert all(torch.equal(*pair) for pair in zip(*(t.values() for t in towers), strict=True))
    assert not torch.equal(
        trained.model.multi_modal_projector.linear_1.weight,
        base.model.multi_modal_projector.linear_1.weight,
    )


def test_training_killed_and_resumed_ends_in_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    undisturbed = run(world, tmp_path / "one", monkeypatch)
    update, updates = Trainer.update, []

    def dying(self: Trainer) -> dict[str, float]:
        updates.append(1)
        if len(updates) == 5:
            raise KeyboardInterrupt
        return update(self)

    monkeypatch.setattr(Trainer, "update", dying)
    with pytest.raises(KeyboardInterrupt):
        run(world, tmp_path / "two", monkeypatch)
    resumed = run(world, tmp_path / "two", monkeypatch)
    assert len(updates) == 5 + 12 - 3  # the checkpoint held 3 steps
    one, two = (load_file(folder / "model.safetensors") for folder in (undisturbed, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)
    told = [
        [{**json.loads(line), "time": 0} for line in (folder / "curves.jsonl").open()]
        for folder in (undisturbed, resumed)
    ]
    assert told[0] == told[1]


def test_a_broken_picture_costs_its_pairs_and_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path, pairs=18, broken_pictures=1)
    output = run(world, tmp_path, monkeypatch, num_train_epochs=1)
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["dropped"]["train"] == {"unreadable_picture": 2}
    assert metrics["pairs"]["train"] == 16


def test_rows_that_are_all_too_long_end_the_run_with_a_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    with pytest.raises(InputError, match="too_long"):
        run(world, tmp_path, monkeypatch, max_length=8)


def test_accumulated_passes_give_the_gradient_of_the_whole_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    whole = run(world, tmp_path / "one", monkeypatch, num_train_epochs=1)
    parts = run(
        world,
        tmp_path / "two",
        monkeypatch,
        num_train_epochs=1,
        batch_size=1,
        gradient_accumulation_steps=4,
    )
    first, second = (
        json.loads((folder / "curves.jsonl").read_text().splitlines()[0])
        for folder in (whole, parts)
    )
    assert second["grad_norm"] == pytest.approx(first["grad_norm"], rel=1e-4)
    assert second["loss"] == pytest.approx(first["loss"], rel=1e-5)


def test_padding_does_not_change_a_reward(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    tokeniser, pictures = make_tokeniser(world)
    torch.manual_seed(0)
    model, processor = load_reward_model(world.base.uri)
    pairs = tokeniser.pairs([make_preference(), make_preference(1, "b", "How do I use it?")]).pairs
    rows = [row for pair in pairs for row in (pair.chosen, pair.rejected)]
    engine = RewardEngine(pictures, processor.tokenizer.pad_token_id)
    # An id that occurs in answers serves as padding just as well: masks decide.
    confusing = RewardEngine(pictures, processor.tokenizer.eos_token_id)
    together = engine.rewards(model, rows)
    alone = torch.cat([engine.rewards(model, [row]) for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together, confusing.rewards(model, rows))
