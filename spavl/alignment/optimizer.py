"""AdamW whose state is float32 whatever the weights are kept in."""

import math
from collections.abc import Mapping
from typing import Any, Protocol

import torch

from spavl.alignment import processes
from spavl.errors import InputError

Weights = Mapping[str, torch.nn.Parameter]
Tensors = dict[str, torch.Tensor]
MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class Optimizer(Protocol):
    """What a trainer needs of an optimizer of several models."""

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Torch's parameter groups, one a model."""

    def backward(self, loss: torch.Tensor, model: str) -> None:
        """Add the gradients of a loss of one of the models."""

    def step(self) -> dict[str, float]:
        """Clip, update, clear; gives each model's gradient norm before clipping."""

    def state(self) -> Tensors:
        """Weights at full precision and moments, flat, to be stored."""

    def load(self, state: Tensors) -> None:
        """Take over what `state` gave."""


class MasterAdamW:
    """AdamW on float32 copies of weights that have fewer bits; others are updated in place.

    A bfloat16 weight has 8 significant bits: an update of 1e-6 added to it directly is lost, as
    are the next thousand. Micikevicius et al., 2018, section 3.1. So is a small gradient added to
    the sum of many: gradients are summed in float32 too, each weight's as soon as it is there, so
    none of fewer bits are held.

    Args:
        weights: Trained parameters by model and name.
        rates: Peak learning rate of each model.
        weight_decay: AdamW's.
        max_grad_norm: Each model's gradients are clipped to it on their own, so that a value
            model's large ones do not shrink the policy's.
    """

    def __init__(
        self,
        weights: Mapping[str, Weights],
        rates: Mapping[str, float],
        weight_decay: float,
        max_grad_norm: float,
    ) -> None:
        self._weights = weights
        self._max_norm = max_grad_norm
        self._masters: dict[str, Tensors] = {
            model: {name: _master(parameter) for name, parameter in named.items()}
            for model, named in weights.items()
        }
        for weight, master in self._pairs():
            if master is not weight:
                _watch(weight, master)
        groups = [
            {"params": list(masters.values()), "lr": rates[model]}
            for model, masters in self._masters.items()
        ]
        self._adam = torch.optim.AdamW(groups, weight_decay=weight_decay)

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Torch's parameter groups, one a model."""
        return self._adam.param_groups

    def backward(self, loss: torch.Tensor, model: str) -> None:
        """Add a loss's gradients; which of the models it belongs to makes no difference here."""
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self) -> dict[str, float]:
        """Update the weights from the sum of all processes' gradients, then clear these.

        Returns:
            Each model's gradient norm before clipping.

        Raises:
            InputError: If one is not finite; the weights are left as they were.
        """
        for masters in self._masters.values():
            processes.sum_gradients(masters.values())
        norms = {
            model: float(torch.nn.utils.clip_grad_norm_(masters.values(), self._max_norm))
            for model, masters in self._masters.items()
        }
        require_finite(norms)
        self._adam.step()
        self._adam.zero_grad()
        self._hand_down()
        return norms

    def state(self) -> Tensors:
        """Weights at full precision and moments, flat, to be stored."""
        found: Tensors = {}
        for key, master in self._named():
            found[f"weight.{key}"] = master.detach()
            for moment, value in self._adam.state.get(master, {}).items():
                found[f"{moment}.{key}"] = value
        return found

    def load(self, state: Tensors) -> None:
        """Take over what `state` gave.

        Raises:
            KeyError: If a weight or a moment is missing.
        """
        with torch.no_grad():
            for key, master in self._named():
                master.copy_(state[f"weight.{key}"])
                if any(f"{name}.{key}" in state for name in MOMENTS):
                    moments = {name: state[f"{name}.{key}"] for name in MOMENTS}
                    self._adam.state[master] = {
                        name: value if name == "step" else value.to(master.device)
                        for name, value in moments.items()
                    }
        self._hand_down()

    def _hand_down(self) -> None:
        with torch.no_grad():
            for weight, master in self._pairs():
                if master is not weight:
                    weight.copy_(master)

    def _pairs(self) -> list[tuple[torch.nn.Parameter, torch.Tensor]]:
        return [
            (weight, self._masters[model][name])
            for model, named in self._weights.items()
            for name, weight in named.items()
        ]

    def _named(self) -> list[tuple[str, torch.Tensor]]:
        return [
            (f"{model}.{name}", master)
            for model, masters in self._masters.items()
            for name, master in masters.items()
        ]


def _watch(weight: torch.nn.Parameter, master: torch.Tensor) -> None:
    """Have a weight's gradients summed in its master, whichever adapter is active just now."""
    trained = weight.requires_grad
    weight.requires_grad_(True)  # else torch takes no hook
    weight.register_post_accumulate_grad_hook(_Moving(master))  # type: ignore[no-untyped-call]
    weight.requires_grad_(trained)


class _Moving:
    """Moves a weight's gradient to its float32 master when the backward pass has made it."""

    def __init__(self, master: torch.Tensor) -> None:
        self._master = master

    def __call__(self, weight: torch.Tensor) -> None:
        if weight.grad is None:
            return
        fresh = weight.grad.float()
        weight.grad = None
        self._master.grad = fresh if self._master.grad is None else self._master.grad.add_(fresh)


def require_finite(norms: Mapping[str, float]) -> None:
    """Check the models' gradient norms.

    Raises:
        InputError: If one is not finite.
    """
    for model, norm in norms.items():
        if not math.isfinite(norm):
            raise InputError(
                f"the {model}'s gradient is {norm}", "training", "lower the learning rate"
            )


def _master(parameter: torch.nn.Parameter) -> torch.Tensor:
    if parameter.dtype == torch.float32:
        return parameter
    return parameter.detach().float().clone().requires_grad_(True)
