"""The reward model learns, forgets nothing when interrupted, and says what it left out."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from components.reward_modeling import train
from spavl.alignment.loop import Trainer
from spavl.alignment.rewards import RewardEngine
from spavl.errors import InputError
from spavl.models.load import load_reward_model
from spavl.records import Image, Preference
from spavl.shards import DatasetWriter, read_records
from tests.unit.alignment.worlds import (
    ANSWERS,
    World,
    make_preference,
    make_tokeniser,
    make_world,
)
from tests.unit.collection.hostile import png, text_bomb

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
    splits = (world.train, world.validation, world.test)
    return Path(train({**SETTINGS, **changes}, *splits, world.images, world.base).uri)


def curves_of(output: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (output / "curves.jsonl").read_text().splitlines()]


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


def test_it_learns_from_ranked_lists_and_asks_for_margins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    listwise = curves_of(run(world, tmp_path / "one", monkeypatch, ranking="listwise"))
    assert listwise[-1]["loss"] < 0.3 * listwise[0]["loss"]
    plain = curves_of(run(world, tmp_path / "two", monkeypatch, num_train_epochs=1))
    asked = curves_of(run(world, tmp_path / "three", monkeypatch, num_train_epochs=1, margin=1.0))
    assert asked[0]["loss"] > plain[0]["loss"] + 0.1
    assert asked[0]["reward_margin"] == plain[0]["reward_margin"]


@pytest.mark.parametrize("tokens", [4096, 64])
def test_lists_of_four_give_the_same_steps_packed_plain_and_in_several_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    world = make_world(tmp_path)
    asked = list(read_records(world.train, Preference))[:4]
    shutil.rmtree(world.train)
    with DatasetWriter(Path(world.train), Preference, {}, {}) as writer:
        for number, pair in enumerate(asked):
            for rank in range(3 if number else 1):  # four answers a question, of one question two
                changes = {
                    "preference_id": f"{pair.preference_id}-{rank}",
                    "chosen": ANSWERS[rank],
                    "rejected": ANSWERS[rank + 1],
                    "chosen_response_id": str(rank),
                    "rejected_response_id": str(rank + 1),
                }
                writer.add(dataclasses.replace(pair, **changes))
    settings = {"ranking": "listwise", "num_train_epochs": 3, "packed_tokens": tokens}
    packed = curves_of(run(world, tmp_path / "packed", monkeypatch, **settings))
    plain = curves_of(
        run(
            world,
            tmp_path / "plain",
            monkeypatch,
            **settings,
            packing="plain",
            batch_size=1,
            gradient_accumulation_steps=4,
        )
    )
    assert len(packed) == len(plain) == 3  # four lists are one step, not ten pairs
    for one, other in zip(packed, plain, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)
    assert packed[-1]["loss"] < packed[0]["loss"]


def test_figures_tell_classes_and_calibration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = run(make_world(tmp_path), tmp_path, monkeypatch, num_train_epochs=1)
    told = json.loads((output / "metrics.json").read_text())["test"]
    assert sum(part["n"] for part in told["by_class"].values()) == 3  # harmful pictures' pairs
    assert 0 <= told["calibration"]["expected_calibration_error"] <= 1
    assert sum(part["n"] for part in told["calibration"]["bins"]) == 6


def test_an_adapter_is_kept_beside_the_merged_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    lora = {"use_peft": True, "lora_r": 4, "lora_alpha": 8, "learning_rate": 1e-2}
    output = run(world, tmp_path, monkeypatch, **lora)
    curves = curves_of(output)
    assert curves[-1]["loss"] < 0.3 * curves[0]["loss"]
    adapter = load_file(output / "adapter" / "adapter_model.safetensors")
    assert [name for name in adapter if "multi_modal_projector" in name]
    merged, _ = load_reward_model(output)  # in one call, adapter, projector and head included
    base, _ = load_reward_model(world.base.uri)
    before, after = base.state_dict(), merged.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {
        name
        for name in before
        if "multi_modal_projector" in name
        or name == "score.weight"
        or ("language_model" in name and name.endswith("_proj.weight"))
    }


def test_pairs_that_teach_nothing_are_set_aside_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    pairs = list(read_records(world.train, Preference))
    changes = [{"chosen": ""}, {"rejected": " \n"}, {"chosen": "Same. ", "rejected": "Same."}]
    shutil.rmtree(world.train)
    with DatasetWriter(Path(world.train), Preference, {}, {}) as writer:
        for number, pair in enumerate(pairs):
            writer.add(dataclasses.replace(pair, **(changes[number] if number < 3 else {})))
    output = run(world, tmp_path, monkeypatch, num_train_epochs=1)
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["dropped"]["train"] == {"empty_answer": 2, "identical_answers": 1}
    assert metrics["pairs"]["train"] == len(pairs) - 3


def test_overlong_rows_are_an_error_where_the_settings_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    with pytest.raises(InputError, match="rows are longer than max_length"):
        run(world, tmp_path, monkeypatch, max_length=20, overlong="error")


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


def test_pictures_made_to_fill_the_memory_cost_their_pairs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    bombs = iter([text_bomb(), png(60_000, 60_000)])
    pictures = list(read_records(world.images.uri, Image))
    shutil.rmtree(world.images.uri)
    with DatasetWriter(Path(world.images.uri), Image, {}, {}) as writer:
        for picture in pictures:
            writer.add(dataclasses.replace(picture, content=next(bombs, picture.content)))
    output = run(world, tmp_path, monkeypatch, num_train_epochs=1)
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["dropped"]["train"] == {"unreadable_picture": 4}


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
