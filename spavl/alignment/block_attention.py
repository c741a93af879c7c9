"""Attention over tries on an accelerator: flex_attention under block masks.

A block of a mask that hides everything is not computed, so a packed row may hold many tries. Masks
of this kind are made for packed rows alone: generation and plain rows go on under sdpa, where a
growing cache needs no block mask made anew at every token.
"""

from typing import Any

import torch

from spavl.models.families import language_model

NAME = "trie_blocks"
# A compiled kernel serves all lengths, but one pack or several, with and without gradient, in
# training or not, each want their own. After eight torch would go on without compiling.
MOST_COMPILED = 64


def see_blocks(model: Any) -> None:
    """Make a model that attends by sdpa take block masks too; other masks it takes as before."""
    from torch._dynamo import config
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    config.recompile_limit = max(config.recompile_limit, MOST_COMPILED)
    AttentionInterface.register(NAME, block_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    language_model(model).set_attn_implementation(NAME)


def block_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    **options: Any,
) -> tuple[torch.Tensor, Any]:
    """An attention function of the library: flex_attention under block masks, else sdpa."""
    from torch.nn.attention.flex_attention import BlockMask
    from transformers.integrations.flex_attention import flex_attention_forward
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    blocks = isinstance(attention_mask, BlockMask)
    forward = flex_attention_forward if blocks else sdpa_attention_forward
    found: tuple[torch.Tensor, Any] = forward(module, query, key, value, attention_mask, **options)
    return found
