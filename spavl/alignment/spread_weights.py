"""Models whose weights DeepSpeed spreads over the processes (ZeRO's stage 3).

A spread weight is gathered when its layer is called and let go afterwards, so all processes must
call the layers equally often; where they cannot, in generation, the weights are made whole first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from spavl.models.families import LANGUAGE

MARK = "ds_id"  # what DeepSpeed gives to each weight of its own
HELD = -1  # DeepSpeed notes by number which modules use a weight: none has this number


def spread_layers(model: torch.nn.Module) -> list[torch.nn.Module]:
    """What is to be spread: the language model's linear layers, without adapters.

    A layer that is spread already is left out.
    """
    return [
        module
        for name, module in model.named_modules()
        if LANGUAGE.search(name) and ".lora_" not in name
        if isinstance(module, torch.nn.Linear) and not hasattr(module.weight, MARK)
    ]


def is_spread(model: torch.nn.Module) -> bool:
    """Whether other processes hold parts of a model's weights."""
    return any(hasattr(weight, MARK) for weight in model.parameters())


@contextmanager
def whole_weights(model: torch.nn.Module) -> Iterator[None]:
    """Within the block all of a model's weights are here, and the model can be called at will.

    Every process must come here; there must be no backward pass inside.
    """
    spread: list[Any] = [
        weight for weight in model.parameters() if hasattr(weight, MARK) and not weight.numel()
    ]
    if not spread:
        yield
        return
    spread[0].all_gather(spread)
    for weight in spread:
        weight.ds_active_sub_modules.add(HELD)  # so no call's end lets it go
    try:
        yield
    finally:
        for weight in spread:
            weight.ds_active_sub_modules.discard(HELD)
        spread[0].partition(spread)
