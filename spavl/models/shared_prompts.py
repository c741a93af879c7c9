"""Generation where several prompts begin alike: each picture is read once, not once a question.

Prompts about one picture share their beginning, which holds all of its tokens: most of a prompt. It
is read once per picture; its cache is handed to every prompt of the picture, and the rest of the
prompts goes on from there as one batch, padded between beginning and rest.
"""

from collections.abc import Sequence
from typing import Any

import torch

from spavl.chat.interface import Sampling
from spavl.models.caches import roomy_cache
from spavl.models.generation import Generated, generate_from, pad_token_id, prompt_inputs


def can_share(model: Any) -> bool:
    """Whether positions follow the mask, so that padding may stand inside a prompt.

    The Qwen family counts its positions from the cache's length instead.
    """
    return getattr(model.config, "model_type", "") == "llava"


@torch.no_grad()
def generate_shared(
    model: Any,
    processor: Any,
    texts: Sequence[str],
    images: Sequence[Any],
    names: Sequence[str],
    sampling: Sampling,
) -> Generated:
    """Answer prompts with pictures in one batch; greedy answers are those of `generate`.

    Args:
        model: A policy of a family that `can_share`.
        processor: Its processor.
        texts: Prompts as `chat_text` renders them, one picture placeholder each.
        images: Their pictures.
        names: Names of the pictures: equal names are one picture.
        sampling: How tokens are chosen.

    Returns:
        The answers, in the prompts' order.
    """
    inputs = prompt_inputs(model, processor, texts, images)
    rows = [
        ids[mask.bool()].tolist()
        for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
    ]
    shared = _shared_length(rows, names)
    first = [names.index(name) for name in dict.fromkeys(names)]
    if model.config.image_token_id in {token for row in rows for token in row[shared:]}:
        return generate_from(model, processor.tokenizer, inputs, sampling)
    read = model(
        input_ids=torch.tensor([rows[place][:shared] for place in first], device=model.device),
        pixel_values=inputs["pixel_values"][first],
        past_key_values=roomy_cache(model, sampling.max_new_tokens + max(map(len, rows)) - shared),
        use_cache=True,
        logits_to_keep=1,
    )
    cache, picture = read.past_key_values, list(dict.fromkeys(names))
    cache.batch_select_indices(torch.tensor([picture.index(name) for name in names]))
    rest = _padded_inside(rows, shared, pad_token_id(processor.tokenizer), model.device)
    return generate_from(model, processor.tokenizer, {**rest, "past_key_values": cache}, sampling)


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


def _padded_inside(
    rows: Sequence[list[int]], shared: int, pad: int, device: torch.device
) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask` `[batch, length]`: beginning, padding, rest."""
    longest = max(map(len, rows))
    gaps = [longest - len(row) for row in rows]
    ids = [row[:shared] + [pad] * gap + row[shared:] for row, gap in zip(rows, gaps, strict=True)]
    masks = [[1] * shared + [0] * gap + [1] * (longest - shared - gap) for gap in gaps]
    return {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": torch.tensor(masks, device=device),
    }
