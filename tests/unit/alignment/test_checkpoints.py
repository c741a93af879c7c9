"""Checkpoints: the last few, any of them good to go on from, and bad ones refused by name."""

import errno
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file, save_file

from spavl.alignment import checkpoints
from spavl.alignment.checkpoints import NUMBERS_FILE, TENSORS_FILE
from spavl.alignment.loop import Trainer
from spavl.errors import InputError
from spavl.settings.dpo import DpoSettings
from spavl.work import Stage, Work


class Counter:
    """Something with a number that changes from step to step."""

    def __init__(self) -> None:
        self.count = 0.0

    def state(self) -> dict[str, float]:
        return {"count": self.count}

    def load(self, state) -> None:  # type: ignore[no-untyped-def]
        self.count = state["count"]


def settings(**changes: object) -> DpoSettings:
    return DpoSettings.parse(
        {"learning_rate": 0.1, "save_steps": 2, "save_total_limit": 2, **changes}, "dpo"
    )


def train(
    folder: Path, steps: int, width: int = 3, dtype: torch.dtype = torch.float32, rate: float = 0.1
) -> tuple[torch.Tensor, float, int]:
    """Steps of a noisy quadratic; gives the weight, the counter and the first step taken."""
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.ones(width, dtype=dtype))
    counter = Counter()
    folder.mkdir(exist_ok=True)
    trainer = Trainer(
        {"model": {"weight": weight}},
        settings(learning_rate=rate),
        20,
        Work(Stage("dpo", "components.dpo", {}, {}), folder),
        others={"counter": counter},
    )

    def step(number: int) -> dict[str, float]:
        counter.count += 1
        ((weight - torch.randn(width)) ** 2).sum().backward()
        return trainer.update()

    trainer.run(step, steps, "steps")
    return weight.detach(), counter.count, trainer.start


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoint").iterdir())


def test_the_newest_are_kept_and_any_of_them_leads_to_the_same_end(tmp_path: Path) -> None:
    whole, count, _ = train(tmp_path / "whole", 12)
    train(tmp_path / "parts", 7)
    assert kept(tmp_path / "parts") == ["step-00000004", "step-00000006"]
    (tmp_path / "parts" / "checkpoint" / "step-00000006").rename(tmp_path / "gone")
    resumed, recount, start = train(tmp_path / "parts", 12)
    assert start == 4
    assert torch.equal(whole, resumed)  # the noise too went on where it was
    assert (count, recount) == (12, 12)


def test_a_half_written_checkpoint_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    train(tmp_path, 4)
    half = tmp_path / "checkpoint" / "unfinished"
    half.mkdir()
    (half / TENSORS_FILE).write_bytes(b"half")
    assert train(tmp_path, 6)[2] == 4


def test_a_newer_one_that_s3_did_not_come_to_hold_whole_costs_no_whole_one(tmp_path: Path) -> None:
    train(tmp_path, 4)
    part = tmp_path / "checkpoint" / "step-00000099"
    part.mkdir()
    (part / TENSORS_FILE).write_bytes(b"part")
    train(tmp_path, 8)
    assert kept(tmp_path) == ["step-00000006", "step-00000008"]


@pytest.mark.parametrize(
    ("bad", "message"), [(float("nan"), "holds NaN"), (float("inf"), "NaN or infinity")]
)
def test_a_checkpoint_with_numbers_that_are_none_is_refused_by_name(
    tmp_path: Path, bad: float, message: str
) -> None:
    train(tmp_path, 4)
    path = tmp_path / "checkpoint" / "step-00000004" / TENSORS_FILE
    tensors = load_file(path)
    tensors["weight.model.weight"][1] = bad
    save_file(tensors, path)
    with pytest.raises(InputError, match=f"(?s){message}.*step-00000004.*delete this checkpoint"):
        train(tmp_path, 6)


def test_a_truncated_checkpoint_and_one_of_another_model_are_refused(tmp_path: Path) -> None:
    train(tmp_path, 4)
    with pytest.raises(InputError, match="of another model"):
        train(tmp_path, 6, width=4)
    path = tmp_path / "checkpoint" / "step-00000004" / TENSORS_FILE
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match="unreadable checkpoint"):
        train(tmp_path, 6)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 90, b"[]", b'{"step": 4, "update": 4}', b'{"step": 4, "update": 4, "others": 1}'],
)
def test_damaged_numbers_of_a_checkpoint_are_refused_by_name_and_cost_that_one_alone(
    tmp_path: Path, content: bytes
) -> None:
    whole, count, _ = train(tmp_path / "whole", 6)
    train(tmp_path / "parts", 4)
    place = tmp_path / "parts" / "checkpoint" / "step-00000004"
    (place / NUMBERS_FILE).write_bytes(content)
    with pytest.raises(InputError, match=r"unreadable checkpoint .*step-00000004.*delete this"):
        train(tmp_path / "parts", 6)
    shutil.rmtree(place)
    resumed, recount, start = train(tmp_path / "parts", 6)
    assert start == 2
    assert torch.equal(whole, resumed)
    assert (count, recount) == (6, 6)


@pytest.mark.parametrize("lacking", ["random", "exp_avg.model.weight", "step.model.weight"])
def test_a_checkpoint_that_lacks_a_tensor_is_refused_by_name(tmp_path: Path, lacking: str) -> None:
    train(tmp_path, 4)
    path = tmp_path / "checkpoint" / "step-00000004" / TENSORS_FILE
    tensors = load(path.read_bytes())
    del tensors[lacking]
    save_file(tensors, path)
    with pytest.raises(InputError, match=rf"of another model.*{lacking}.*step-00000004"):
        train(tmp_path, 6)


def test_a_disk_that_fills_up_under_a_checkpoint_costs_no_other_and_is_left_with_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _, _ = train(tmp_path / "whole", 8)

    def full(path: Path) -> None:
        if "step-00000004" in kept(tmp_path / "parts"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "sync_file", full)
        with pytest.raises(OSError, match="No space left"):
            train(tmp_path / "parts", 8)
    assert kept(tmp_path / "parts") == ["step-00000002", "step-00000004"]
    resumed, _, start = train(tmp_path / "parts", 8)
    assert start == 4
    assert torch.equal(whole, resumed)


def test_nothing_in_a_checkpoint_is_pickled(tmp_path: Path) -> None:
    train(tmp_path, 2)
    files = [path.name for path in (tmp_path / "checkpoint" / "step-00000002").iterdir()]
    assert sorted(files) == ["state.json", "state.safetensors"]


def test_bfloat16_weights_follow_updates_that_are_too_small_for_them(tmp_path: Path) -> None:
    # Ten updates of at most 1e-3 move 1.0 by 0.004; bfloat16 would round each of them away.
    weight, _, _ = train(tmp_path / "plain", 10, dtype=torch.bfloat16, rate=1e-3)
    assert weight.dtype == torch.bfloat16
    assert (weight != 1).any()
    train(tmp_path / "parts", 5, dtype=torch.bfloat16, rate=1e-3)
    resumed, _, start = train(tmp_path / "parts", 10, dtype=torch.bfloat16, rate=1e-3)
    assert start == 4
    assert torch.equal(weight, resumed)


def test_a_gradient_that_is_no_number_stops_the_training_and_leaves_the_weights(
    tmp_path: Path,
) -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    work = Work(Stage("dpo", "components.dpo", {}, {}), tmp_path)
    trainer = Trainer({"policy": {"weight": weight}}, settings(), 20, work)
    (weight * float("nan")).sum().backward()
    with pytest.raises(InputError, match="policy's gradient is nan"):
        trainer.update()
    assert torch.equal(weight, torch.ones(2))
