"""Trainer state on disk: weights as safetensors, the rest in torch's weights-only format."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from spavl.work import Work

Weights = Mapping[str, Mapping[str, torch.nn.Parameter]]


class Checkpoints:
    """Saves and restores one training; only the newest checkpoint is kept.

    Args:
        work: The stage's work; its curves are cut back when an older step is restored.
        weights: Trainable parameters by model and name.
        optimizer: Their optimizer.
        schedule: Its learning rate schedule.
    """

    def __init__(self, work: Work, weights: Weights, optimizer: Any, schedule: Any) -> None:
        self._work = work
        self._weights = weights
        self._optimizer = optimizer
        self._schedule = schedule

    def save(self, step: int) -> None:
        """Keep the state after `step` steps."""
        from safetensors.torch import save_file

        folder = self._work.checkpoint
        place = folder / f"step-{step:08d}"
        unfinished = folder / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for name, weights in self._weights.items():
            tensors = {key: parameter.detach().contiguous() for key, parameter in weights.items()}
            save_file(tensors, unfinished / f"{name}.safetensors")
        torch.save(self._state(), unfinished / "state.pt")
        unfinished.rename(place)
        for older in folder.glob("step-*"):
            if older != place:
                shutil.rmtree(older)

    def restore(self) -> int:
        """Bring back the newest state, if any.

        Returns:
            Steps that were done before; 0 if there is no checkpoint.
        """
        places = sorted(self._work.checkpoint.glob("step-*"))
        step = int(places[-1].name.removeprefix("step-")) if places else 0
        if places:
            self._load(places[-1])
        _cut_curves(self._work.folder / "curves.jsonl", step)
        return step

    def _state(self) -> dict[str, Any]:
        return {
            "optimizer": self._optimizer.state_dict(),
            "schedule": {"last_epoch": self._schedule.last_epoch},
            "random": torch.get_rng_state(),
        }

    def _load(self, place: Path) -> None:
        from safetensors.torch import load_file

        for name, weights in self._weights.items():
            tensors = load_file(place / f"{name}.safetensors")
            with torch.no_grad():
                for key, parameter in weights.items():
                    parameter.copy_(tensors[key])
        state = torch.load(place / "state.pt", weights_only=True, map_location="cpu")
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.last_epoch = state["schedule"]["last_epoch"]
        torch.set_rng_state(state["random"])


def _cut_curves(curves: Path, step: int) -> None:
    """Drop what was logged after the step that training goes on from."""
    if not curves.exists():
        return
    kept = [line for line in curves.read_text().splitlines() if json.loads(line)["step"] <= step]
    curves.write_text("".join(line + "\n" for line in kept))
