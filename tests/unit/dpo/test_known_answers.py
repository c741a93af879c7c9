"""DPO's losses and gradients are TRL's on the same batch."""

from pathlib import Path
from typing import Any

import pytest
import torch

from spavl.alignment.logprobs import PlainEngine
from spavl.alignment.losses import DpoObjective, dpo_loss, implicit_rewards
from spavl.alignment.packed_engine import PackedEngine
from spavl.alignment.rows import Row
from spavl.models.load import load_policy
from spavl.models.pictures import Pictures
from tests.unit.models.tiny import PictureBook, save_tiny

trl = pytest.importorskip("trl", reason="TRL is the reference implementation and is not installed")
datasets = pytest.importorskip("datasets")

PICTURES = ("a", "b", "c")
QUESTIONS = ("What is this?", "Tell me.", "How do I use it, step by step?")
CHOSEN = ("I can't help with this.", "Sorry.", "Use it so, and so, and so.")
REJECTED = ("Sure. This is a lamp.", "Sure. Sure. Sure.", "No.")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("base"))


def turn(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def their_trainer(base: Path, folder: Path, loss_type: str) -> Any:
    """TRL's trainer, its policy moved away from the reference as after some steps."""
    rows = {
        "prompt": [turn("user", question) for question in QUESTIONS],
        "chosen": [turn("assistant", answer) for answer in CHOSEN],
        "rejected": [turn("assistant", answer) for answer in REJECTED],
        "images": [[PictureBook().open(name)] for name in PICTURES],
    }
    options = trl.DPOConfig(
        output_dir=str(folder),
        loss_type=[loss_type],
        beta=0.1,
        per_device_train_batch_size=3,
        max_length=None,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        report_to="none",
    )
    policy, processor = load_policy(base)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in policy.model.language_model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return trl.DPOTrainer(
        model=policy,
        ref_model=load_policy(base)[0],
        args=options,
        train_dataset=datasets.Dataset.from_dict(rows),
        processing_class=processor,
    )


def rows_of(batch: dict[str, torch.Tensor]) -> list[Row]:
    """Their batch as our rows: chosen answers, then rejected ones."""
    found = []
    for place in range(len(batch["input_ids"])):
        real = batch["attention_mask"][place].bool()
        ids = batch["input_ids"][place][real].tolist()
        answer = int(batch["completion_mask"][place][real].sum())
        pixels = batch["pixel_values"][place]
        found.append(Row(picture_of(pixels), tuple(ids), len(ids) - answer))
    return found


def picture_of(pixels: torch.Tensor) -> str:
    """Which of the three pictures these pixels are."""
    processor = load_processor_once()
    for name in PICTURES:
        known = processor.image_processor(PictureBook().open(name), return_tensors="pt")
        if torch.allclose(known["pixel_values"][0], pixels, atol=1e-5):
            return name
    raise AssertionError("unknown pixels")


def load_processor_once() -> Any:
    from tests.unit.models.tiny import tiny_processor

    return tiny_processor()


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("loss_type", ["sigmoid", "sigmoid_norm", "hinge", "ipo"])
@pytest.mark.parametrize("engine_class", [PlainEngine, PackedEngine])
def test_loss_and_gradients_are_trls_on_the_same_batch(
    base: Path, tmp_path: Path, loss_type: Any, engine_class: Any
) -> None:
    trainer = their_trainer(base, tmp_path, loss_type)
    batch = next(iter(trainer.get_train_dataloader()))
    policy = trainer.accelerator.unwrap_model(trainer.model).eval()
    theirs = trainer.compute_loss(policy, batch)
    theirs.backward()
    expected = gradients(policy)
    policy.zero_grad()

    rows = rows_of(batch)
    pictures = Pictures(policy, load_processor_once(), PictureBook())
    pictures.read(PICTURES)
    budget = (4096,) if engine_class is PackedEngine else ()
    engine = engine_class(pictures, 0, *budget)
    found = engine.response_log_probs(policy, rows)
    with torch.no_grad():
        reference = engine.response_log_probs(trainer.ref_model, rows)
    lengths = found.mask.sum(dim=1).view(2, 3)
    assert lengths.min() > 1  # answers are scored: a cut completion would leave none
    objective = DpoObjective(loss_type, beta=0.1)
    rewards = implicit_rewards(
        found.sums().view(2, 3), reference.sums().view(2, 3), lengths, objective
    )
    loss = dpo_loss(rewards, objective).loss
    torch.testing.assert_close(loss, theirs, atol=1e-5, rtol=1e-5)
    loss.backward()
    ours = gradients(policy)
    trained = [name for name in expected if "vision_tower" not in name]  # we freeze the tower
    assert trained
    for name in trained:
        assert (ours[name] - expected[name]).norm() <= 1e-4 * expected[name].norm(), name
