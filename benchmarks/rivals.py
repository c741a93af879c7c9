"""Other ways of scoring rows that share prefixes, as engines of the benchmark's own trainer.

All have what ours has beside the packing: the tower's features once a picture, the projector once a
distinct picture, the head on answer places only, the reference's log-probs kept. What differs is
what a row shares with others:

- `grouped`: a question's prompt is shared by its answers and by nothing else, as in PrefixGrouper
  (arXiv 2506.05433) and flash-preference; written out with our own attention, which is no worse.
- `prefix_grouper`: the package of that name, where it is installed, under torch's sdpa.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from spavl.alignment.engines import Engines
from spavl.alignment.logprobs import ResponseLogProbs, response_mask, token_log_probs
from spavl.alignment.packed_engine import PackedEngine
from spavl.alignment.packing import PlainRow
from spavl.alignment.rows import Row
from spavl.models.pictures import Pictures

PACKAGE = "prefix_grouper"
GROUP = 1 << 42  # above every key of `spavl.alignment.packing`


class GroupedEngine(PackedEngine):
    """Packs as ours does, but rows of different prompts share nothing, their picture included."""

    def _plain_rows(self, model: Any, rows: Sequence[Row]) -> list[PlainRow]:
        prompts: dict[tuple[object, ...], int] = {}
        found = []
        for plain in super()._plain_rows(model, rows):
            prompt = (plain.row.image_ids, plain.row.token_ids[: plain.row.boundary])
            path = plain.path + GROUP * (1 + prompts.setdefault(prompt, len(prompts)))
            found.append(PlainRow(plain.row, path, plain.picture_starts, plain.positions))
        return found


class PackageEngine:
    """PrefixGrouper's package: one row a prompt, its answers behind it.

    Args:
        pictures: Picture features of the model.
    """

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures

    def response_log_probs(
        self, model: Any, rows: Sequence[Row], temperature: float = 1.0
    ) -> ResponseLogProbs:
        """See `spavl.alignment.logprobs.LogProbEngine`."""
        from prefix_grouper import PrefixGrouper  # no package of the project's own set-up

        groups: dict[tuple[object, ...], list[int]] = {}
        for number, row in enumerate(rows):
            groups.setdefault((row.image_ids, row.token_ids[: row.boundary]), []).append(number)
        sizes = [
            [rows[numbers[0]].boundary, *(rows[n].response_length for n in numbers)]
            for numbers in groups.values()
        ]
        longest = max(map(sum, sizes))
        ids = np.zeros((len(groups), longest), dtype=np.int64)
        positions = np.zeros_like(ids)
        parents: dict[int, list[int]] = {}
        for place, numbers in enumerate(groups.values()):
            prompt = rows[numbers[0]].boundary
            ids[place, :prompt] = rows[numbers[0]].token_ids[:prompt]
            positions[place, :prompt] = np.arange(prompt)
            begin = prompt
            for number in numbers:
                end = begin + rows[number].response_length
                ids[place, begin:end] = rows[number].token_ids[prompt:]
                positions[place, begin:end] = np.arange(prompt, prompt + end - begin)
                first = place * longest
                parents[number] = [first + prompt - 1, *range(first + begin, first + end - 1)]
                begin = end
        shown = [image_id for numbers in groups.values() for image_id in rows[numbers[0]].image_ids]
        hidden = model.model(
            input_ids=torch.from_numpy(ids),
            position_ids=torch.from_numpy(positions),
            attention_mask=torch.zeros(len(groups), 1, 1, 1),  # the grouper has its own
            prefix_grouper=PrefixGrouper(group_info=sizes),
            use_cache=False,
            **self._pictures.inputs_for(model, shown),
        ).last_hidden_state.flatten(0, 1)
        every = torch.tensor([p for number in range(len(rows)) for p in parents[number]])
        wanted = torch.tensor([token for row in rows for token in row.token_ids[row.boundary :]])
        values, entropies = token_log_probs(
            model.lm_head, hidden.index_select(0, every), wanted, temperature
        )
        mask = response_mask(rows, model.device)
        empty = torch.zeros(mask.shape)
        return ResponseLogProbs(
            empty.masked_scatter(mask, values), mask, empty.masked_scatter(mask, entropies)
        )


def see_groups(model: Any) -> None:
    """Let a model attend through the package."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(PACKAGE, _attend)
    AttentionMaskInterface.register(PACKAGE, sdpa_mask)
    model.model.language_model.set_attn_implementation(PACKAGE)


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    *_: Any,
    prefix_grouper: Any,
    **__: Any,
) -> tuple[torch.Tensor, None]:
    return prefix_grouper.forward(_causal, query, key, value), None


def _causal(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, padding: torch.Tensor
) -> torch.Tensor:
    """Attention whose last query sees all keys that are no padding."""
    queries, keys = query.shape[2], key.shape[2]
    seen = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
    if padding.all() and queries == keys:
        found = scaled_dot_product_attention(query, key, value, is_causal=True)
    else:
        mask = seen & padding[:, None, None, :]
        mask |= ~mask.any(dim=-1, keepdim=True)  # padding that sees nothing
        found = scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return found.transpose(1, 2)


def package_error() -> str:
    """Why the package is not measured; empty where it is."""
    return "" if find_spec(PACKAGE) else f"No module named {PACKAGE!r}"


def flash_pref_error() -> str:
    """Why flash-pref is not measured: its attention is flash_attn's, which knows no CPU."""
    if find_spec("flash_pref") is None:
        return "No module named 'flash_pref'"
    return "needs flash_attn.flash_attn_varlen_func, which has no CPU kernel"


def grouped_engines(pictures: Pictures, like: Engines, tokens: int) -> Engines:
    """The engines of `grouped`; passes are cut as ours are, in whole questions."""
    return Engines(GroupedEngine(pictures, 0, tokens), like.rewards, pictures, tokens)


def package_engines(pictures: Pictures, like: Engines) -> Engines:
    """The engines of `prefix_grouper`."""
    return Engines(PackageEngine(pictures), like.rewards, pictures, None)
