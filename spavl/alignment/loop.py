"""The training loop: optimizer, schedule, steps, checkpoints, resuming to the same result."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from spavl.alignment.checkpoints import Checkpoints
from spavl.models.pictures import freeze_tower
from spavl.settings.alignment import AlignmentSettings
from spavl.work import Work


def prepare_for_training(model: Any, settings: AlignmentSettings) -> None:
    """Freeze the vision tower and switch on gradient checkpointing if wanted."""
    freeze_tower(model)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()  # the library recomputes in training mode only


class Trainer:
    """Trains the unfrozen weights of some models together.

    A step must be a function of its number and of the trained weights alone, so that training
    resumed from a checkpoint ends in the same weights as training never interrupted.

    Args:
        models: The models by name; their trainable weights are trained and checkpointed.
        settings: Learning rate, schedule, clipping, steps between checkpoints.
        total_updates: Calls of `update` in the whole training, for the schedule.
        work: Where checkpoints and curves go.
        learning_rates: Peak learning rates that differ from the settings', by model name.
    """

    def __init__(
        self,
        models: Mapping[str, Any],
        settings: AlignmentSettings,
        total_updates: int,
        work: Work,
        learning_rates: Mapping[str, float] | None = None,
    ) -> None:
        self._settings = settings
        self._work = work
        self._weights = {name: trainable_weights(model) for name, model in models.items()}
        rates = learning_rates or {}
        self._optimizer = torch.optim.AdamW(
            [
                {"params": list(weights.values()), "lr": rates.get(name, settings.learning_rate)}
                for name, weights in self._weights.items()
            ],
            weight_decay=settings.weight_decay,
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda update: learning_rate_share(settings, update, total_updates)
        )
        self._checkpoints = Checkpoints(work, self._weights, self._optimizer, self._schedule)
        self.start = self._checkpoints.restore()

    def run(self, step: Callable[[int], Mapping[str, float]], total_steps: int, unit: str) -> None:
        """Take the steps that are left.

        Args:
            step: Takes step number `n` (from 0) and gives its metrics.
            total_steps: Steps of the whole training.
            unit: What a step is called in progress lines.
        """
        for number in range(self.start, total_steps):
            metrics = step(number)
            self._work.log(metrics, number + 1)
            self._work.progress(number + 1, total_steps, unit, **metrics)
            if (number + 1) % self._settings.save_steps == 0:
                self._checkpoints.save(number + 1)

    def update(self) -> dict[str, float]:
        """One optimizer step with the gradients that were accumulated; clears them.

        Each model's gradients are clipped on their own, so that a value model's large ones do not
        shrink the policy's.

        Returns:
            Each model's gradient norm before clipping and the learning rate.
        """
        norms = {
            name: torch.nn.utils.clip_grad_norm_(weights.values(), self._settings.max_grad_norm)
            for name, weights in self._weights.items()
        }
        rate = self._optimizer.param_groups[0]["lr"]
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad()
        if len(norms) == 1:
            return {"grad_norm": float(*norms.values()), "learning_rate": rate}
        named = {f"{name}_grad_norm": float(norm) for name, norm in norms.items()}
        return {**named, "learning_rate": rate}


def trainable_weights(model: Any) -> dict[str, torch.nn.Parameter]:
    """A model's parameters that take gradients; tied ones once."""
    return {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }


def learning_rate_share(settings: AlignmentSettings, update: int, total_updates: int) -> float:
    """Share of the peak learning rate at an update, counted from 0.

    Linear warm-up, then constant or half a cosine down to 0.
    """
    warmup = settings.warmup_steps or math.ceil(settings.warmup_ratio * total_updates)
    if update < warmup:
        return (update + 1) / (warmup + 1)
    if settings.lr_scheduler_type == "constant":
        return 1.0
    done = (update - warmup) / max(1, total_updates - warmup)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
