"""AdamW under DeepSpeed's ZeRO: each process keeps and updates a part of the optimizer's state.

Stage 2 spreads gradients, float32 weights and moments over the processes (Rajbhandari et al.,
2020); with offload they lie in the CPU's memory. Checkpoints hold whole tensors, gathered one by
one, in the same form as `MasterAdamW`'s: nothing is pickled, and a training can go on with another
number of processes, or without ZeRO.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from spavl.alignment import processes
from spavl.alignment.optimizer import MOMENTS, Tensors, Weights, require_finite
from spavl.settings.alignment import AlignmentSettings


class ZeroAdamW:
    """Does what `MasterAdamW` does, with an engine of DeepSpeed's for each model.

    Args:
        weights: Trained parameters by model and name; they stay the models' own.
        rates: Peak learning rate of each model.
        settings: Weight decay, clipping, precision, stage and offload.
    """

    def __init__(
        self,
        weights: Mapping[str, Weights],
        rates: Mapping[str, float],
        settings: AlignmentSettings,
    ) -> None:
        self._weights = weights
        self._engines = {
            model: _engine(named, rates[model], settings) for model, named in weights.items()
        }

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Torch's parameter groups, one a model."""
        return [self._adam(model).param_groups[0] for model in self._weights]

    def backward(self, loss: torch.Tensor, model: str) -> None:
        """Add a loss's gradients to the parts that the processes keep.

        All processes must come here equally often.
        """
        engine = self._engines[model]
        # DeepSpeed takes the mean over processes, where our losses are parts of a sum. Its hooks
        # are set by a forward through the engine; ours was through the model.
        engine.backward(engine(loss * processes.count()))

    def step(self) -> dict[str, float]:
        """Clip each model's gradients, update, clear.

        Returns:
            Each model's gradient norm before clipping.

        Raises:
            InputError: If one is not finite.
        """
        norms = {}
        for model, engine in self._engines.items():
            engine.step()
            norms[model] = float(engine.get_global_grad_norm())
        require_finite(norms)
        return norms

    def state(self) -> Tensors:
        """Weights at full precision and moments, whole, to be stored; every process calls it.

        Returns:
            The tensors; empty in processes other than the leader.
        """
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        found: Tensors = {}
        for key, weight, count in self._named():
            tensors = {"weight": safe_get_full_fp32_param(weight)}
            if count is not None:
                tensors |= {m: safe_get_full_optimizer_state(weight, m) for m in MOMENTS[:2]}
                tensors["step"] = count.clone()  # safetensors refuse what is stored twice
            if processes.is_leader():
                found |= {f"{name}.{key}": value.cpu() for name, value in tensors.items()}
        return found

    def load(self, state: Tensors) -> None:
        """Take over what `state` gave.

        Raises:
            KeyError: If a weight is missing.
        """
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

        self._make_moments()
        for key, weight, _ in self._named():
            whole = {
                name: state[f"{name}.{key}"].to(weight.device) for name in ("weight", *MOMENTS)
            }
            safe_set_full_fp32_param(weight, whole["weight"])
            for moment in MOMENTS[:2]:
                safe_set_full_optimizer_state(weight, whole[moment], moment)
            with torch.no_grad():
                weight.copy_(whole["weight"])
        for model, named in self._weights.items():
            for kept in self._adam(model).state.values():
                kept["step"] = state[f"step.{model}.{next(iter(named))}"].clone()

    def _make_moments(self) -> None:
        """A step without gradient: only a step makes DeepSpeed's moments."""
        for model, named in self._weights.items():
            self.backward(
                sum((w.float().sum() * 0 for w in named.values()), torch.zeros(())), model
            )
        self.step()

    def _named(self) -> Iterator[tuple[str, torch.nn.Parameter, torch.Tensor | None]]:
        """Each weight by its key, with the number of updates it has had."""
        for model, named in self._weights.items():
            count = next((kept["step"] for kept in self._adam(model).state.values()), None)
            for name, weight in named.items():
                yield f"{model}.{name}", weight, count

    def _adam(self, model: str) -> torch.optim.Optimizer:
        adam: torch.optim.Optimizer = self._engines[model].optimizer.optimizer
        return adam


class _Through(torch.nn.Module):
    """What DeepSpeed takes for the model: it has the weights, and a loss passes through it."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterList(weights.values())

    def forward(self, loss: torch.Tensor) -> torch.Tensor:
        return loss.view_as(loss)


def _engine(weights: Weights, rate: float, settings: AlignmentSettings) -> Any:
    import deepspeed

    adam = torch.optim.AdamW(weights.values(), lr=rate, weight_decay=settings.weight_decay)
    engine, *_ = deepspeed.initialize(
        model=_Through(weights), optimizer=adam, config=deepspeed_config(settings)
    )
    return engine


def deepspeed_config(settings: AlignmentSettings) -> dict[str, Any]:
    """What DeepSpeed is told."""
    zero: dict[str, Any] = {"stage": settings.zero_stage}
    if settings.offload:
        zero["offload_optimizer"] = {"device": "cpu"}
    in_bfloat16 = settings.dtype == "bfloat16"
    return {
        "train_micro_batch_size_per_gpu": 1,  # asked for, and of no effect
        "managed_gradient_accumulation": False,  # a step is what we call one
        "gradient_clipping": settings.max_grad_norm,
        "bf16": {"enabled": in_bfloat16, "check_grad_overflow": in_bfloat16},
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,
    }
