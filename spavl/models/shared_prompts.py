"""Generation where several prompts begin alike: each picture is read once, not once a question.

Prompts about one picture share their beginning, which holds all of its tokens: most of a prompt. It
is read once per picture and kept once, and the prompts branch off from there; see
`spavl.models.branches`.
"""

from collections.abc import Sequence
from typing import Any

import torch

from spavl.chat.interface import Sampling
from spavl.models.branches import Branch, Limits, decode_branches, spread
from spavl.models.caches import roomy_cache
from spavl.models.generation import (
    Generated,
    end_token_ids,
    generate_from,
    generated,
    pad_token_id,
    picture_token_ids,
    prompt_inputs,
)


def can_share(model: Any) -> bool:
    """Whether positions count tokens and attention takes any mask.

    The Qwen family has positions of its own; flash attention knows no such mask.
    """
    attention = getattr(model.config, "_attn_implementation", "")
    return model.config.model_type == "llava" and attention in ("sdpa", "eager")


@torch.no_grad()
def generate_shared(
    model: Any,
    processor: Any,
    texts: Sequence[str],
    images: Sequence[Any],
    names: Sequence[str],
    sampling: Sampling,
) -> Generated:
    """Answer prompts with pictures in one batch, greedily; answers are those of `generate`.

    Args:
        model: A policy of a family that `can_share`.
        processor: Its processor.
        texts: Prompts as `chat_text` renders them, one picture placeholder each.
        images: Their pictures.
        names: Names of the pictures: equal names are one picture.
        sampling: The limit of an answer; its temperature is 0.

    Returns:
        The answers, in the prompts' order.
    """
    inputs = prompt_inputs(model, processor, texts, images)
    rows = [
        ids[mask.bool()].tolist()
        for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
    ]
    shared = _shared_length(rows, names)
    if model.config.image_token_id in {token for row in rows for token in row[shared:]}:
        return generate_from(model, processor.tokenizer, inputs, sampling)
    lanes, places = spread([names.index(name) for name in names])
    side_by_side = 1 + max(number for _, number in places)
    room = side_by_side * (max(map(len, rows)) - shared + sampling.max_new_tokens)
    cache = _read_beginnings(model, rows, inputs, shared, lanes, room)
    branches = [Branch(*at, row[shared:]) for at, row in zip(places, rows, strict=True)]
    limits = Limits(
        sampling.max_new_tokens,
        end_token_ids(model, processor.tokenizer),
        picture_token_ids(model),
        pad_token_id(processor.tokenizer),
    )
    token_ids = decode_branches(model, cache, branches, limits)
    return generated(processor.tokenizer, token_ids, limits.ends, list(map(len, rows)))


def _read_beginnings(
    model: Any, rows: Sequence[list[int]], inputs: Any, shared: int, lanes: list[int], room: int
) -> Any:
    """A cache of the beginnings, one row a lane; `lanes` name a row of each beginning."""
    first = list(dict.fromkeys(lanes))
    cache = roomy_cache(model, room)
    model.model(
        input_ids=torch.tensor([rows[place][:shared] for place in first], device=model.device),
        pixel_values=inputs["pixel_values"][first],
        past_key_values=cache,
        use_cache=True,
    )
    if lanes != first:
        cache.batch_select_indices(torch.tensor([first.index(place) for place in lanes]))
    return cache


def _shared_length(rows: Sequence[list[int]], names: Sequence[str]) -> int:
    """The longest beginning that all prompts of each picture have in common, one for all pictures.

    One token at least is left of every prompt: generation begins by reading it.
    """
    lengths = [min(map(len, rows)) - 1]
    for name in set(names):
        lengths.append(_common([row for row, of in zip(rows, names, strict=True) if of == name]))
    return min(lengths)


def _common(rows: Sequence[list[int]]) -> int:
    """Length of the beginning that all rows have."""
    columns = enumerate(zip(*rows, strict=False))
    return next((place for place, ids in columns if len(set(ids)) > 1), min(map(len, rows)))
