"""The training loop: optimizer, schedule, steps, checkpoints, resuming to the same result."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from spavl.alignment import processes
from spavl.alignment.checkpoints import Checkpoints, Stateful, TrainingState
from spavl.alignment.optimizer import MasterAdamW, Optimizer, Weights
from spavl.alignment.schedule import Schedule
from spavl.alignment.signals import termination_deferred
from spavl.errors import TerminatedError
from spavl.models.adapters import projector_names
from spavl.models.pictures import freeze_tower
from spavl.seeds import derive_seed
from spavl.settings.alignment import AlignmentSettings
from spavl.work import Work


def prepare_for_training(model: Any, settings: AlignmentSettings) -> None:
    """Freeze what is not trained; switch on gradient checkpointing if wanted.

    The only dropout is LoRA's: what a model's own configuration has of it stays off, whether
    activations are recomputed or not.
    """
    freeze_tower(model)
    if not settings.train_projector:
        freeze_projector(model)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.eval()
    for name, module in model.named_modules():
        if is_recomputed(module):  # the library recomputes in training mode only
            module.training = settings.gradient_checkpointing
        elif ".lora_dropout" in name:
            module.training = True


def is_recomputed(module: torch.nn.Module) -> bool:
    """Whether a module's activations may be recomputed; what lies in it is not meant."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    return isinstance(module, GradientCheckpointingLayer)


def freeze_projector(model: Any) -> None:
    """Leave the projector as it is."""
    for name in projector_names(model):
        model.get_submodule(name).requires_grad_(False)


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Within the block the model has no dropout and keeps caches."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


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
        models: The models by the same names, for ZeRO's stage 3, which spreads them.
    """

    def __init__(
        self,
        weights: Mapping[str, Weights],
        settings: AlignmentSettings,
        total_updates: int,
        work: Work,
        learning_rates: Mapping[str, float] | None = None,
        others: Mapping[str, Stateful] | None = None,
        models: Mapping[str, torch.nn.Module] | None = None,
    ) -> None:
        self._settings = settings
        self._work = work
        rates = dict.fromkeys(weights, settings.learning_rate) | dict(learning_rates or {})
        self._optimizer = _optimizer(weights, rates, settings, models or {})
        self._schedule = Schedule(self._optimizer.groups, settings, total_updates)
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
                _seed_step(self._settings.seed, number)
                metrics = step(number)
                self._work.log(metrics, number + 1)
                self._work.progress(number + 1, total_steps, unit, **metrics)
                ending = processes.any_of(terminated())
                if ending or (number + 1) % self._settings.save_steps == 0:
                    self._checkpoints.save(number + 1)
                if ending:
                    raise TerminatedError(
                        f"terminated after {number + 1} of {total_steps} {unit}, which are kept: "
                        "run it again to go on"
                    )

    def backward(self, loss: torch.Tensor, model: str) -> None:
        """Add the gradients of a loss for one of the models.

        Args:
            loss: Scalar; a share of the step's mean.
            model: The model that it is a function of.
        """
        self._optimizer.backward(loss, model)

    def update(self) -> dict[str, float]:
        """One optimizer step with the gradients that all processes accumulated; clears them.

        Returns:
            Each model's gradient norm before clipping and the learning rate.

        Raises:
            InputError: If a gradient is not finite.
        """
        norms = self._optimizer.step()
        rate = self._schedule.rate
        self._schedule.go_to(self._schedule.update + 1)
        if len(norms) == 1:
            return {"grad_norm": next(iter(norms.values())), "learning_rate": rate}
        return {f"{name}_grad_norm": norm for name, norm in norms.items()} | {"learning_rate": rate}


def _optimizer(
    weights: Mapping[str, Weights],
    rates: Mapping[str, float],
    settings: AlignmentSettings,
    models: Mapping[str, torch.nn.Module],
) -> Optimizer:
    if settings.zero_stage:
        from spavl.alignment.zero import ZeroAdamW

        return ZeroAdamW(weights, rates, settings, models)
    return MasterAdamW(weights, rates, settings.weight_decay, settings.max_grad_norm)


def _seed_step(seed: int, number: int) -> None:
    """Dropout of several processes: each its own, and the same after resuming."""
    if processes.count() > 1:
        torch.manual_seed(derive_seed(seed, "step", str(number), str(processes.rank())))


def trainable_weights(model: Any) -> dict[str, torch.nn.Parameter]:
    """A model's parameters that take gradients; tied ones once."""
    return {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }
