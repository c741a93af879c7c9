"""A training's state on disk: tensors as safetensors, numbers as JSON, nothing pickled."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
from pydantic import TypeAdapter

from spavl.alignment import processes
from spavl.alignment.optimizer import Optimizer
from spavl.alignment.schedule import Schedule
from spavl.errors import InputError
from spavl.files import write_whole
from spavl.shards import sync_file, write_json
from spavl.work import Work

TENSORS_FILE = "state.safetensors"
NUMBERS_FILE = "state.json"
DELETE = "delete this checkpoint to go on from an older one"


class Stateful(Protocol):
    """Something else that a training goes on with, e.g. an adaptive coefficient."""

    def state(self) -> dict[str, float]:
        """Its numbers."""

    def load(self, state: Mapping[str, float]) -> None:
        """Take over what `state` gave."""


@dataclass(frozen=True)
class TrainingState:
    """All that a training is made of between two steps.

    Attributes:
        optimizer: Weights and moments.
        schedule: The learning rate's.
        others: What else has numbers that change.
    """

    optimizer: Optimizer
    schedule: Schedule
    others: Mapping[str, Stateful]


@dataclass(frozen=True)
class Numbers:
    """What a checkpoint holds beside tensors.

    Attributes:
        step: Steps that were done.
        update: The schedule's.
        others: The state of what else changes, by name.
    """

    step: int
    update: int
    others: dict[str, dict[str, float]]


class Checkpoints:
    """Saves and restores one training; the newest few checkpoints are kept.

    Args:
        work: The stage's work; its curves are cut back when an older step is restored.
        training: What is saved.
        limit: Checkpoints that are kept.
    """

    def __init__(self, work: Work, training: TrainingState, limit: int) -> None:
        self._work = work
        self._training = training
        self._limit = limit

    def save(self, step: int) -> None:
        """Keep the state after `step` steps; every process calls it, the leader writes."""
        tensors = self._training.optimizer.state() | {"random": torch.get_rng_state()}
        if torch.cuda.is_available():
            tensors["random_gpu"] = torch.cuda.get_rng_state()
        if processes.is_leader():
            self._write(step, tensors)
        processes.wait_for_all()

    def _write(self, step: int, tensors: Mapping[str, torch.Tensor]) -> None:
        folder = self._work.checkpoint
        unfinished = folder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        others = {name: other.state() for name, other in self._training.others.items()}
        try:
            _write_files(unfinished, tensors, Numbers(step, self._training.schedule.update, others))
        except Exception:
            # On a full disk it would take the room in which the error is told.
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        place = folder / f"step-{step:08d}"
        shutil.rmtree(place, ignore_errors=True)
        unfinished.rename(place)  # whole or not there, whenever the process dies
        for older in sorted(folder.glob("step-*"))[: -self._limit]:
            shutil.rmtree(older)

    def restore(self) -> int:
        """Bring back the newest state, if any.

        Returns:
            Steps that were done before; 0 if there is no checkpoint.

        Raises:
            InputError: If the newest checkpoint is damaged, holds numbers that are none, or does
                not fit the model.
        """
        # A folder without its numbers is one that S3 did not come to hold whole.
        places = sorted(self._work.checkpoint.glob(f"step-*/{NUMBERS_FILE}"))
        step = self._load(places[-1].parent) if places else 0
        processes.wait_for_all()  # the leader may drop an older one soon
        if processes.is_leader():
            for place in self._work.checkpoint.glob("step-*"):
                if not (place / NUMBERS_FILE).exists():
                    shutil.rmtree(place)  # counted as the newest, it would cost whole ones
            _cut_curves(self._work.folder / "curves.jsonl", step)
        return step

    def _load(self, place: Path) -> int:
        tensors, numbers = _read_tensors(place), _read_numbers(place)
        try:
            self._training.optimizer.load(tensors)
            self._load_others(tensors, numbers)
        except (KeyError, RuntimeError) as error:
            raise InputError(
                f"the checkpoint is of another model ({error})",
                str(place),
                "delete it to start anew",
            ) from None
        return numbers.step

    def _load_others(self, tensors: Mapping[str, torch.Tensor], numbers: Numbers) -> None:
        self._training.schedule.go_to(numbers.update)
        for name, other in self._training.others.items():
            other.load(numbers.others[name])
        torch.set_rng_state(tensors["random"])
        if "random_gpu" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["random_gpu"])


def _write_files(folder: Path, tensors: Mapping[str, torch.Tensor], numbers: Numbers) -> None:
    from safetensors.torch import save_file

    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    save_file(contiguous, folder / TENSORS_FILE)
    sync_file(folder / TENSORS_FILE)
    write_json(folder / NUMBERS_FILE, asdict(numbers))


def _read_tensors(place: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, torch.Tensor] = load_file(place / TENSORS_FILE)
    except (SafetensorError, OSError) as error:
        raise InputError(f"unreadable checkpoint ({error})", str(place), DELETE) from None
    for name, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise InputError(f"{name} holds NaN or infinity", str(place), DELETE)
    return tensors


def _read_numbers(place: Path) -> Numbers:
    try:
        return TypeAdapter(Numbers).validate_python(json.loads((place / NUMBERS_FILE).read_text()))
    except (ValueError, OSError):
        raise InputError(f"unreadable checkpoint ({NUMBERS_FILE})", str(place), DELETE) from None


def _cut_curves(curves: Path, step: int) -> None:
    """Drop what was logged after the step that training goes on from."""
    if not curves.exists():
        return
    lines = (
        line
        for line in curves.read_text(errors="replace").splitlines(keepends=True)
        if line.endswith("\n")
    )
    write_whole(curves, "".join(line for line in lines if _step_of(line) <= step).encode())


def _step_of(line: str) -> float:
    """A curve line's step; beyond all for one that is damaged, which goes."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
