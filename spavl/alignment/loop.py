"""The training loop: optimizer, schedule, steps, checkpoints, resuming to the same result."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from spavl.alignment.checkpoints import Checkpoints, Stateful, TrainingState
from spavl.alignment.optimizer import MasterAdamW, Weights
from spavl.alignment.signals import termination_deferred
from spavl.errors import InputError, TerminatedError
from spavl.models.adapters import projector_name
from spavl.models.pictures import freeze_tower
from spavl.settings.alignment import AlignmentSettings, require_one_process
from spavl.work import Work


def prepare_for_training(model: Any, settings: AlignmentSettings) -> None:
    """Freeze what is not trained; switch on gradient checkpointing if wanted.

    Raises:
        InputError: If the settings ask for more than one process, which is not built.
    """
    require_one_process(settings, "training")
    freeze_tower(model)
    if not settings.train_projector:
        freeze_projector(model)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    # The library recomputes activations in training mode only, and so does LoRA's dropout.
    model.train(settings.gradient_checkpointing or settings.use_peft)


def freeze_projector(model: Any) -> None:
    """Leave the projector as it is."""
    name = projector_name(model)
    for module_name, module in model.named_modules():
        if module_name.rpartition(".")[2] == name:
            module.requires_grad_(False)


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Within the block the model has no dropout and keeps caches."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


class Trainer:
    """Trains the weights of some models together.

    A step must be a function of its number, of the trained weights and of `others` alone, so that
    training resumed from a checkpoint ends in the same weights as training never interrupted.

    Args:
        weights: Trained parameters by model and name; see `trainable_weights`.
        settings: Learning rate, schedule, clipping, steps between checkpoints.
        total_updates: Calls of `update` in the whole training, for the schedule.
        work: Where checkpoints and curves go.
        learning_rates: Peak learning rates that differ from the settings', by model.
        others: What else changes from step to step and belongs into checkpoints.
    """

    def __init__(
        self,
        weights: Mapping[str, Weights],
        settings: AlignmentSettings,
        total_updates: int,
        work: Work,
        learning_rates: Mapping[str, float] | None = None,
        others: Mapping[str, Stateful] | None = None,
    ) -> None:
        self._settings = settings
        self._work = work
        self._weights = weights
        rates = dict.fromkeys(weights, settings.learning_rate) | dict(learning_rates or {})
        self._optimizer = MasterAdamW(weights, rates, settings.weight_decay)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer.torch_optimizer,
            lambda update: learning_rate_share(settings, update, total_updates),
        )
        training = TrainingState(self._optimizer, self._schedule, others or {})
        self._checkpoints = Checkpoints(work, training, settings.save_total_limit)
        self.start = self._checkpoints.restore()

    def run(self, step: Callable[[int], Mapping[str, float]], total_steps: int, unit: str) -> None:
        """Take the steps that are left.

        Args:
            step: Takes step number `n` (from 0) and gives its metrics.
            total_steps: Steps of the whole training.
            unit: What a step is called in progress lines.

        Raises:
            TerminatedError: After SIGTERM, when the step under way was done and kept.
        """
        with termination_deferred() as terminated:
            for number in range(self.start, total_steps):
                metrics = step(number)
                self._work.log(metrics, number + 1)
                self._work.progress(number + 1, total_steps, unit, **metrics)
                if terminated() or (number + 1) % self._settings.save_steps == 0:
                    self._checkpoints.save(number + 1)
                if terminated():
                    raise TerminatedError(
                        f"terminated after {number + 1} of {total_steps} {unit}, which are kept: "
                        "run it again to go on"
                    )

    def update(self) -> dict[str, float]:
        """One optimizer step with the gradients that were accumulated; clears them.

        Each model's gradients are clipped on their own, so that a value model's large ones do not
        shrink the policy's.

        Returns:
            Each model's gradient norm before clipping and the learning rate.

        Raises:
            InputError: If a gradient is not finite; the weights are left as they were.
        """
        norms = {
            name: float(
                torch.nn.utils.clip_grad_norm_(weights.values(), self._settings.max_grad_norm)
            )
            for name, weights in self._weights.items()
        }
        for name, norm in norms.items():
            if not math.isfinite(norm):
                raise InputError(
                    f"the {name}'s gradient is {norm}", "training", "lower the learning rate"
                )
        rate = self._optimizer.torch_optimizer.param_groups[0]["lr"]
        self._optimizer.step()
        self._schedule.step()
        if len(norms) == 1:
            return {"grad_norm": next(iter(norms.values())), "learning_rate": rate}
        return {f"{name}_grad_norm": norm for name, norm in norms.items()} | {"learning_rate": rate}


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
