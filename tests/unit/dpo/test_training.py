"""DPO moves the policy towards chosen answers, from a reference that is a table of numbers."""

import json
import math
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from components.dpo import train
from spavl.alignment.loop import Trainer
from spavl.errors import InputError
from spavl.models.load import load_policy
from spavl.settings.dpo import DpoSettings
from tests.unit.alignment.worlds import World, make_world

SETTINGS: dict[str, object] = {
    "threads": 1,
    "learning_rate": 1e-3,
    "batch_size": 4,
    "gradient_accumulation_steps": 1,
    "num_train_epochs": 4,
    "warmup_steps": 2,
    "dtype": "float32",
    "gradient_checkpointing": False,
    "save_steps": 3,
    "eval_steps": 4,
}


def run(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> Path:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(folder / "work"))
    settings = {**SETTINGS, **changes}
    return Path(train(settings, world.train, world.validation, world.images, world.base).uri)


def curves(output: Path) -> list[dict[str, float]]:
    """What was logged, but for the time of day."""
    lines = (output / "curves.jsonl").read_text().splitlines()
    return [{**json.loads(line), "time": 0.0} for line in lines]


def test_the_first_loss_is_log_two_and_the_last_is_far_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = run(make_world(tmp_path), tmp_path, monkeypatch)
    logged = curves(output)
    assert logged[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert logged[0]["reward_margin"] == pytest.approx(0, abs=1e-4)
    assert logged[-1]["loss"] < 0.35
    assert logged[-1]["accuracy"] == 1.0
    assert "validation_loss" in logged[3]
    load_policy(output)


def test_an_adapter_starts_at_the_reference_and_is_merged_into_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lora = {"use_peft": True, "lora_r": 4, "lora_alpha": 8, "learning_rate": 1e-2}
    output = run(make_world(tmp_path), tmp_path, monkeypatch, **lora)
    logged = curves(output)
    assert logged[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert logged[-1]["loss"] < 0.35
    model, _ = load_policy(output)
    assert not [name for name, _ in model.named_parameters() if "lora" in name]
    assert (output / "adapter" / "adapter_config.json").is_file()


@pytest.mark.parametrize(
    ("changes", "first_loss"),
    [
        ({"loss_type": "hinge"}, 1.0),
        ({"loss_type": "ipo"}, 25.0),  # 1 / (2 * 0.1), squared
        ({"loss_type": "sigmoid_norm"}, math.log(2)),
        ({"label_smoothing": 0.1}, math.log(2)),
    ],
)
def test_every_loss_of_the_family_trains(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, object],
    first_loss: float,
) -> None:
    logged = curves(run(make_world(tmp_path), tmp_path, monkeypatch, **changes))
    assert logged[0]["loss"] == pytest.approx(first_loss, abs=1e-4)
    assert logged[-1]["loss"] < 0.99 * first_loss


@pytest.mark.parametrize(
    "changes",
    [
        {"loss_type": "ipo", "label_smoothing": 0.1},
        {"offload": True},
        {"loss_type": "kto"},
    ],
)
def test_settings_without_meaning_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError, match="correct th"):
        DpoSettings.parse({**SETTINGS, **changes}, "dpo")


@pytest.mark.skipif(find_spec("deepspeed") is not None, reason="DeepSpeed is installed")
def test_zero_without_deepspeed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"DeepSpeed is not installed \(dpo\.zero_stage\)"):
        run(make_world(tmp_path), tmp_path, monkeypatch, zero_stage=2)


def test_training_killed_and_resumed_ends_in_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    undisturbed = run(world, tmp_path / "one", monkeypatch)
    update, updates = Trainer.update, []

    def dying(self: Trainer) -> dict[str, float]:
        updates.append(1)
        if len(updates) == 8:
            raise KeyboardInterrupt
        return update(self)

    monkeypatch.setattr(Trainer, "update", dying)
    with pytest.raises(KeyboardInterrupt):
        run(world, tmp_path / "two", monkeypatch)
    resumed = run(world, tmp_path / "two", monkeypatch)
    assert len(updates) == 8 + 12 - 6
    one, two = (load_file(folder / "model.safetensors") for folder in (undisturbed, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert curves(undisturbed) == curves(resumed)


def test_gradient_checkpointing_changes_memory_and_not_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path)
    plain = curves(run(world, tmp_path / "one", monkeypatch, num_train_epochs=1))
    saving = curves(
        run(world, tmp_path / "two", monkeypatch, num_train_epochs=1, gradient_checkpointing=True)
    )
    for one, two in zip(plain, saving, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-3)
