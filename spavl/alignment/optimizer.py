"""AdamW whose state is float32 whatever the weights are kept in."""

from collections.abc import Mapping

import torch

Weights = Mapping[str, torch.nn.Parameter]
Tensors = dict[str, torch.Tensor]
MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class MasterAdamW:
    """AdamW on float32 copies of weights that have fewer bits; others are updated in place.

    A bfloat16 weight has 8 significant bits: an update of 1e-6 added to it directly is lost, as
    are the next thousand. Micikevicius et al., 2018, section 3.1.

    Args:
        weights: Trained parameters by model and name.
        rates: Peak learning rate of each model.
        weight_decay: AdamW's.
    """

    def __init__(
        self, weights: Mapping[str, Weights], rates: Mapping[str, float], weight_decay: float
    ) -> None:
        self._weights = weights
        self._masters: dict[str, Tensors] = {
            model: {name: _master(parameter) for name, parameter in named.items()}
            for model, named in weights.items()
        }
        groups = [
            {"params": list(masters.values()), "lr": rates[model]}
            for model, masters in self._masters.items()
        ]
        self.torch_optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay)

    def step(self) -> None:
        """Update the weights from their gradients, then clear these."""
        for weight, master in self._pairs():
            if master is not weight:
                master.grad = None if weight.grad is None else weight.grad.float()
        self.torch_optimizer.step()
        self.torch_optimizer.zero_grad()
        self._hand_down()
        for weight, _ in self._pairs():
            weight.grad = None

    def state(self) -> Tensors:
        """Weights at full precision and moments, flat, to be stored."""
        found: Tensors = {}
        for key, master in self._named():
            found[f"weight.{key}"] = master.detach()
            for moment, value in self.torch_optimizer.state.get(master, {}).items():
                found[f"{moment}.{key}"] = value
        return found

    def load(self, state: Tensors) -> None:
        """Take over what `state` gave.

        Raises:
            KeyError: If a weight is missing.
        """
        with torch.no_grad():
            for key, master in self._named():
                master.copy_(state[f"weight.{key}"])
                moments = {name: state.get(f"{name}.{key}") for name in MOMENTS}
                if moments["step"] is not None:
                    self.torch_optimizer.state[master] = {
                        name: value if name == "step" else value.to(master.device)  # type: ignore[union-attr]
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


def _master(parameter: torch.nn.Parameter) -> torch.Tensor:
    if parameter.dtype == torch.float32:
        return parameter
    return parameter.detach().float().clone().requires_grad_(True)
