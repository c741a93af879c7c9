"""A cache of keys and values with room for the tokens to come.

The library's own grows by copying all of itself at every token: with pictures of hundreds of tokens
that costs more than the model's arithmetic. This one writes a token into room made beforehand.
"""

from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values, float `[batch, heads, length, width]`, as views into buffers.

    Whatever the library does to `keys` and `values` in between (cropping, repeating and choosing
    rows) it does to them alone; buffers are then made anew at the next token.

    Args:
        room: Tokens that a new buffer has places for beside those it begins with.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room
        self._buffers: tuple[torch.Tensor, torch.Tensor] | None = None
        self._shown: tuple[torch.Tensor | None, torch.Tensor | None] = (None, None)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add tokens; see `DynamicLayer.update`."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before = self.get_seq_length()
        after = before + key_states.shape[-2]
        buffers = self._with_room(key_states, value_states, before, after)
        buffers[0][:, :, before:after] = key_states
        buffers[1][:, :, before:after] = value_states
        self.keys, self.values = buffers[0][:, :, :after], buffers[1][:, :, :after]
        self._buffers, self._shown = buffers, (self.keys, self.values)
        return self.keys, self.values

    def _with_room(
        self, keys: torch.Tensor, values: torch.Tensor, before: int, after: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        is_ours = self.keys is self._shown[0] and self.values is self._shown[1]
        if self._buffers is not None and is_ours and after <= self._buffers[0].shape[-2]:
            return self._buffers
        made = []
        for states, held in ((keys, self.keys), (values, self.values)):
            buffer = states.new_empty((*states.shape[:2], after + self._room, states.shape[-1]))
            if before:
                buffer[:, :, :before] = held
            made.append(buffer)
        return made[0], made[1]


def cache_bytes(model: Any) -> int:
    """Bytes of keys and values that one token of one row takes in all layers."""
    text = model.config.get_text_config()
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    numbers = 2 * text.num_hidden_layers * text.num_key_value_heads * width
    return int(numbers * model.dtype.itemsize)


def roomy_cache(model: Any, room: int) -> Cache:
    """An empty cache for a model's language model.

    Args:
        model: A policy.
        room: Tokens that will be added one by one.
    """
    layers = DynamicCache(config=model.config).layers
    return Cache([RoomyLayer(room) if type(layer) is DynamicLayer else layer for layer in layers])
