"""AdamW under DeepSpeed's ZeRO: each process keeps and updates a part of the optimizer's state.

Stage 2 spreads gradients, float32 weights and moments over the processes (Rajbhandari et al.,
2020); with offload they lie in the CPU's memory. Checkpoints hold whole tensors, gathered one by
one, in the same form as `MasterAdamW`'s: nothing is pickled, and a training can go on with another
number of processes, or without ZeRO.

Stage 3 spreads the language model's linear layers too, which are nearly all of it: each is gathered
when it is called and again in the backward pass, so processes must call them equally often. What
else is trained, embeddings and head for instance, is whole in every process between two updates,
and may be used as often as a process pleases.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from spavl.alignment import processes
from spavl.alignment.optimizer import MOMENTS, Tensors, Weights, require_finite
from spavl.alignment.spread_weights import spread_layers
from spavl.settings.alignment import AlignmentSettings


class ZeroAdamW:
    """Does what `MasterAdamW` does, with an engine of DeepSpeed's for each model.

    Args:
        weights: Trained parameters by model and name; they stay the models' own.
        rates: Peak learning rate of each model.
        settings: Weight decay, clipping, precision, stage and offload.
        models: What stage 3 spreads: the models that the weights are of, and frozen ones.
    """

    def __init__(
        self,
        weights: Mapping[str, Weights],
        rates: Mapping[str, float],
        settings: AlignmentSettings,
        models: Mapping[str, torch.nn.Module],
    ) -> None:
        self._weights = weights
        self._engines = {}
        self._mark_trained()
        for name, named in weights.items():
            layers = spread_layers(models[name]) if settings.zero_stage == 3 else []
            self._engines[name] = _engine(_Through(named, layers), named, rates[name], settings)
        if settings.zero_stage == 3:
            for name, model in models.items():
                if name not in weights:
                    _spread_frozen(model, settings)

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
        self._mark_trained()
        norms = {}
        for model, engine in self._engines.items():
            engine.step()
            engine.module.renew()
            norms[model] = float(engine.get_global_grad_norm())
        require_finite(norms)
        return norms

    def state(self) -> Tensors:
        """Weights at full precision and moments, whole, to be stored; every process calls it.

        Returns:
            The tensors; empty in processes other than the leader.
        """
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        self._mark_trained()
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
        self._mark_trained()
        for model, named in self._weights.items():
            updates = state[f"step.{model}.{next(iter(named))}"]
            _make_moments(self._engines[model].optimizer, updates)
        for key, weight, _ in self._named():
            for name in ("weight", *MOMENTS[:2]):
                _take_over(weight, state[f"{name}.{key}"].to(weight.device), name)
        for engine in self._engines.values():
            engine.module.renew()

    def _mark_trained(self) -> None:
        """Switch gradients on: an adapter's are off while another is active, and it is skipped."""
        for named in self._weights.values():
            for weight in named.values():
                weight.requires_grad_(True)

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
    """What DeepSpeed takes for the model: it has the weights, and a loss passes through it.

    Args:
        weights: What is trained.
        layers: Modules whose weights are spread, trained or not; DeepSpeed watches their calls.
    """

    def __init__(self, weights: Weights, layers: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(layers)
        spread = {id(weight) for weight in self.layers.parameters()}
        self.rest = torch.nn.ParameterList(w for w in weights.values() if id(w) not in spread)

    def forward(self, loss: torch.Tensor) -> torch.Tensor:
        return loss.view_as(loss)

    def renew(self) -> None:
        """Gather again what is whole between two updates."""
        rest = [weight for weight in self.rest if hasattr(weight, "ds_id")]
        if rest:
            rest[0].partition(rest)
            rest[0].all_gather(rest)


def _engine(through: _Through, weights: Weights, rate: float, settings: AlignmentSettings) -> Any:
    import deepspeed

    adam = torch.optim.AdamW(weights.values(), lr=rate, weight_decay=settings.weight_decay)
    engine, *_ = deepspeed.initialize(
        model=through, optimizer=adam, config=deepspeed_config(settings)
    )
    if settings.zero_stage == 3:
        # Gathering ahead would want every pass to make the same calls.
        engine.optimizer.parameter_offload.fwd_pre_hook.remove()
        through.renew()
    return engine


def _spread_frozen(model: torch.nn.Module, settings: AlignmentSettings) -> None:
    import deepspeed

    if layers := spread_layers(model):
        deepspeed.initialize(model=_Through({}, layers), config=deepspeed_config(settings))


def _make_moments(zero: Any, updates: torch.Tensor) -> None:
    """Give AdamW the state that its first step would give it; DeepSpeed has none before."""
    in_stage_3 = hasattr(zero, "fp32_partitioned_groups_flat")
    flat = zero.fp32_partitioned_groups_flat if in_stage_3 else zero.single_partition_of_fp32_groups
    for weights in flat:
        moments = {moment: torch.zeros_like(weights) for moment in MOMENTS[:2]}
        zero.optimizer.state[weights] = {"step": updates.clone(), **moments}
    if not in_stage_3:
        zero._lazy_init_hp_params_optimizer_state()


def _take_over(weight: Any, whole: torch.Tensor, name: str) -> None:
    """Set a weight (`weight`) or a moment of it from its whole tensor."""
    from deepspeed import utils

    if not hasattr(weight, "ds_tensor"):  # not spread
        if name == "weight":
            utils.safe_set_full_fp32_param(weight, whole)
            weight.data.copy_(whole)
        else:
            utils.safe_set_full_optimizer_state(weight, whole, name)
        return
    size = weight.ds_tensor.numel()  # of this process's part; the last one's is padded
    padded = torch.nn.functional.pad(whole.flatten(), (0, size * processes.count() - whole.numel()))
    part = padded[size * processes.rank() :][:size]
    if name == "weight":
        utils.safe_set_local_fp32_param(weight, part)
        weight.ds_tensor.copy_(part)
    else:
        utils.safe_set_local_optimizer_state(weight, part, name)


def deepspeed_config(settings: AlignmentSettings) -> dict[str, Any]:
    """What DeepSpeed is told."""
    zero: dict[str, Any] = {"stage": settings.zero_stage}
    if settings.zero_stage == 3:
        zero["stage3_param_persistence_threshold"] = 0
    if settings.offload:
        zero["offload_optimizer"] = {"device": "cpu"}
        if settings.zero_stage == 3:
            zero["offload_param"] = {"device": "cpu"}
    in_bfloat16 = settings.dtype == "bfloat16"
    return {
        "train_micro_batch_size_per_gpu": 1,  # asked for, and of no effect
        "managed_gradient_accumulation": False,  # a step is what we call one
        "gradient_clipping": settings.max_grad_norm,
        "bf16": {"enabled": in_bfloat16, "check_grad_overflow": in_bfloat16},
        "data_types": {"grad_accum_dtype": "fp32"},  # sums over many passes
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,
    }
