"""The GPU's benchmark at a small shape: it runs without our other libraries, and compares alike."""

import dataclasses
import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu import PARTS, Ledger, _rollouts, _training, adapted, run
from benchmarks.gpu_figures import operations_of, peak_of
from benchmarks.gpu_steps import Training, make_side
from benchmarks.gpu_world import SMALL, GpuShape, make_llava, make_pairs, make_pictures
from spavl.alignment.batching import packed_length
from spavl.alignment.planning import ModelSize

ROOT = Path(__file__).resolve().parents[3]
# What of ours or of our dependencies a machine with torch and transformers alone lacks.
LACKING = [
    "PIL",
    "accelerate",
    "boto3",
    "datasets",
    "fastapi",
    "flash_attn",
    "kfp",
    "mlflow",
    "pandas",
    "peft",
    "platformdirs",
    "pyarrow",
    "pydantic",
    "scipy",
    "sklearn",
    "torchvision",
    "trl",
    "vllm",
]


def test_it_wants_torch_and_transformers_alone_and_keeps_every_part(tmp_path: Path) -> None:
    kept = tmp_path / "gpu.json"
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({LACKING}))\n"
        f"sys.argv = ['gpu', '--shape', 'small', '--minutes', '10', '--json', {str(kept)!r}]\n"
        "from benchmarks.gpu import main; main()"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(kept.read_text())
    assert found["not_run"] == {}
    assert found["flex_against_sdpa"] == {"not_run": "no backward pass on a CPU"}
    for part in PARTS:
        sides = found[part]
        for side in ("packed", "plain"):
            assert sides[side]["tokens_per_second"] > 0
            assert sides[side]["share_of_peak"] is None
            assert sides[side]["timed_steps"] == 3
        assert sides["packed"]["tokens"] == sides["plain"]["tokens"]
        assert sides["token_ratio"] < 1
    assert "4 of 4 trainings" in done.stderr


@pytest.fixture(scope="module")
def model() -> Any:
    return make_llava(SMALL, "cpu", torch.float32)


@pytest.mark.parametrize("part", PARTS)
def test_both_sides_have_the_same_gradients(
    part: str, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, torch.Tensor] = {}

    def update(training: Training, optimizer: torch.optim.Optimizer) -> None:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        gradients = [w.grad.flatten() for w in weights if w.grad is not None]
        found[training.side.name] = torch.cat(gradients)
        optimizer.zero_grad()

    monkeypatch.setattr(Training, "_update", update)
    with adapted(part, SMALL, model) as adapters:
        pictures = make_pictures(SMALL, model)
        pictures.read(f"picture {number}" for number in range(SMALL.pictures))
        _, rows = _rollouts(part, SMALL, model, pictures)
        for name in ("packed", "plain"):
            torch.manual_seed(0)  # heads are drawn
            side, _ = make_side(name, SMALL, model, pictures)
            _training(part, model, side, adapters, rows).step()
    difference = (found["packed"] - found["plain"]).norm()
    assert found["plain"].norm() > 0
    assert difference <= 1e-4 * found["plain"].norm()


def test_when_the_minutes_are_over_what_is_left_is_named(tmp_path: Path) -> None:
    run(SMALL, "cpu", Ledger(tmp_path / "gpu.json", 0.0))
    kept = json.loads((tmp_path / "gpu.json").read_text())["not_run"]
    sides = [f"{part}, {side}" for part in PARTS for side in ("packed", "plain")]
    names = ["flex_against_sdpa", "model", *sides]
    assert kept == dict.fromkeys(names, "the minutes were over")


def test_a_part_that_fails_or_takes_too_long_is_named_and_stopped(tmp_path: Path) -> None:
    def fail() -> None:
        raise torch.OutOfMemoryError("no memory\nand more")

    def hang() -> None:
        while True:
            with suppress(Exception):  # nothing that catches errors keeps it from ending
                time.sleep(1000)

    ledger = Ledger(tmp_path / "gpu.json", 1.0)
    assert ledger.of("one", fail) is None
    assert ledger.of("two", hang) is None
    ledger.keep()
    kept = json.loads((tmp_path / "gpu.json").read_text())["not_run"]
    assert kept == {"one": "OutOfMemoryError: no memory", "two": "the minutes were over"}


def test_the_shape_is_llavas_and_its_operations_are_counted_by_hand() -> None:
    shape, size = GpuShape(), ModelSize()
    assert shape.linear == size.linear
    assert shape.adapter == size.adapters(shape.rank)
    assert shape.picture_tokens == 576
    one = dataclasses.replace(shape, pictures=1)
    rows = [row for pair in make_pairs(one) for row in pair.rows]
    assert {row.length for row in rows} == {716}
    assert packed_length(rows) == 576 + 1 + 3 * 39 + 6 * 100
    plain = operations_of("dpo_full", one, rows, 6 * 716, packed=False)
    seen = 6 * 716 * 717 / 2
    by_hand = 2 * size.linear * 6 * 716 + 4 * 32 * 4096 * seen + 2 * 32_064 * 4096 * 600
    assert plain == pytest.approx(3 * by_hand)
    packed = operations_of("dpo_full", one, rows, packed_length(rows), packed=True)
    assert 0.29 < packed / plain < 0.32


def test_a_chip_that_is_not_known_has_no_share_of_a_peak() -> None:
    assert peak_of("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_of("NVIDIA H100 PCIe") == 756e12
    assert peak_of("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak_of("Some other chip") is None
