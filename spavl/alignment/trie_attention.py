"""Attention over tries on the CPU: branch by branch, instead of everything under one dense mask.

Between two forks a trie is a chain of places, and all of a chain sees the same chains above it.
So a chain's queries meet its ancestors' keys and, causally, its own, and nothing that a mask would
hide again. A dense mask costs the square of a packed row's length; this costs what is seen. On a
GPU flex_attention's block masks do the same in one kernel.

The mask that travels through the library's forward is int64 `[packs, 1, 1, length]`: where the
subtree of each place ends (see `spavl.alignment.tries`).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from spavl.models.families import language_model

NAME = "trie"
# A kernel's start costs about as much as so many pairs of places under a dense mask.
PAIRS_PER_CHAIN = 4096
LEAST_GAIN = 1.5


@dataclass(frozen=True)
class Chain:
    """Places between two forks.

    Attributes:
        length: Number of its places.
        ancestors: Numbers of the chains above it, from the root.
    """

    length: int
    ancestors: tuple[int, ...]


def see_tries(model: Any) -> None:
    """Make a model that attends by sdpa take masks of this kind too; others it takes as before."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, trie_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    language_model(model).set_attn_implementation(NAME)


def pays(ends: torch.Tensor) -> bool:
    """Whether going chain by chain is faster than a dense mask, int64 `[packs, length]`."""
    seen = 0
    for pack in ends:
        found = chains(pack)
        above = [sum(found[n].length for n in chain.ancestors) for chain in found]
        seen += sum(
            chain.length * (over + chain.length) + PAIRS_PER_CHAIN
            for chain, over in zip(found, above, strict=True)
        )
    return ends.shape[0] * ends.shape[1] ** 2 > LEAST_GAIN * seen


def chains(ends: torch.Tensor) -> list[Chain]:
    """Cut a layout into chains: int64 `[length]`, where the subtree of each place ends."""
    end_of = ends.tolist()
    # The next place is an only child exactly if it ends where its parent does.
    forks = [place for place in range(1, len(end_of)) if end_of[place] != end_of[place - 1]]
    found: list[Chain] = []
    above: list[int] = []  # numbers of the chains that are still open
    begins: list[int] = []
    for begin, end in pairwise([0, *forks, len(end_of)]):
        above = [number for number in above if end_of[begins[number]] > begin]
        found.append(Chain(end - begin, tuple(above)))
        above.append(len(begins))
        begins.append(begin)
    return found


def trie_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """An attention function of the library.

    Args:
        module: The attention layer.
        query: float `[packs, heads, length, width]`.
        key: float `[packs, key heads, length, width]`.
        value: Like `key`.
        attention_mask: A mask of this module's kind; any other goes to sdpa.
        dropout: Of the attention weights.
        scaling: Of the scores.
        options: For sdpa.

    Returns:
        float `[packs, length, heads, width]`, and no weights.
    """
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    if attention_mask is None or attention_mask.dtype != torch.int64:
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **options
        )
        return found
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    packs = [
        _attend(
            query[pack : pack + 1],
            key[pack : pack + 1],
            value[pack : pack + 1],
            chains(ends),
            dropout,
            scaling,
        )
        for pack, ends in enumerate(attention_mask[:, 0, 0])
    ]
    return torch.cat(packs).transpose(1, 2).contiguous(), None


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    plan: list[Chain],
    dropout: float,
    scaling: float | None,
) -> torch.Tensor:
    """One pack: float `[1, heads, length, width]`."""
    lengths = [chain.length for chain in plan]
    queries, keys, values = (torch.split(part, lengths, dim=2) for part in (query, key, value))
    outputs = []
    for number, chain in enumerate(plan):
        path = (*chain.ancestors, number)
        above = sum(lengths[n] for n in chain.ancestors)
        seen = torch.ones(chain.length, above + chain.length, dtype=torch.bool).tril(above)
        outputs.append(
            scaled_dot_product_attention(
                queries[number],
                torch.cat([keys[n] for n in path], dim=2),
                torch.cat([values[n] for n in path], dim=2),
                attn_mask=seen.to(query.device) if above else None,
                is_causal=not above,
                dropout_p=dropout,
                scale=scaling,
            )
        )
    return torch.cat(outputs, dim=2)
