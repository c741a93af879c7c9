"""Batched generation with left padding: the same answers at every batch size when greedy."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from spavl.chat.interface import Sampling
from spavl.models.caches import roomy_cache
from spavl.models.decoding import decode


@dataclass(frozen=True)
class Generated:
    """Answers of one batch, in the order of its prompts.

    Attributes:
        token_ids: Generated ids, the end-of-sequence token included where the model ended.
        texts: The same as text, without special tokens.
        finish_reasons: `stop` where the model ended, `length` where it was cut.
        prompt_tokens: Prompt lengths, picture tokens included.
    """

    token_ids: list[list[int]]
    texts: list[str]
    finish_reasons: list[str]
    prompt_tokens: list[int]


def generate(
    model: Any,
    processor: Any,
    texts: Sequence[str],
    images: Sequence[Any],
    sampling: Sampling,
) -> Generated:
    """Answer one batch of prompts.

    Args:
        model: A policy of `load_policy`.
        processor: Its processor.
        texts: Prompts as `chat_text` renders them, one picture placeholder for each picture.
        images: One PIL picture per prompt, or an empty sequence if no prompt has one.
        sampling: How tokens are chosen.

    Returns:
        The answers.
    """
    inputs = prompt_inputs(model, processor, texts, images)
    return generate_from(model, processor.tokenizer, inputs, sampling)


def prompt_inputs(model: Any, processor: Any, texts: Sequence[str], images: Sequence[Any]) -> Any:
    """Prompts as a left-padded batch with their pictures' arguments; see `generate`."""
    has_bos = processor.tokenizer.bos_token and texts[0].startswith(processor.tokenizer.bos_token)
    inputs = processor(
        text=list(texts),
        images=[[image] for image in images] if images else None,
        return_tensors="pt",
        padding=True,
        padding_side="left",
        add_special_tokens=not has_bos,
    )
    inputs.pop("token_type_ids", None)
    if "pixel_values" in inputs:
        inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
    return inputs.to(model.device)


def pad_left(
    token_ids: Sequence[Sequence[int]], pad_token_id: int, device: torch.device
) -> dict[str, torch.Tensor]:
    """Prompts as a left-padded batch.

    Returns:
        `input_ids` and `attention_mask`, int64 `[batch, longest]`.
    """
    longest = max(len(ids) for ids in token_ids)
    padded = [[pad_token_id] * (longest - len(ids)) + list(ids) for ids in token_ids]
    masks = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in token_ids]
    return {
        "input_ids": torch.tensor(padded, device=device),
        "attention_mask": torch.tensor(masks, device=device),
    }


@torch.no_grad()
def generate_from(
    model: Any, tokenizer: Any, inputs: Any, sampling: Sampling, repeats: int = 1
) -> Generated:
    """Answer a left-padded batch; see `generate`.

    Args:
        model: A policy.
        tokenizer: Its tokenizer.
        inputs: `input_ids` and `attention_mask` `[batch, length]` and picture arguments.
        sampling: How tokens are chosen.
        repeats: Answers of each prompt. Prompts with their pictures are read once, whatever
            the number.

    Returns:
        The answers, those of one prompt side by side.
    """
    ends = end_token_ids(model, tokenizer)
    config = _config(model, ends, tokenizer)
    inputs = {"past_key_values": roomy_cache(model, sampling.max_new_tokens), **inputs}
    token_ids = decode(model, inputs, config, sampling, repeats)
    lengths = inputs["attention_mask"].sum(dim=1).repeat_interleave(repeats).tolist()
    return generated(tokenizer, token_ids, ends, lengths)


def generated(
    tokenizer: Any, token_ids: list[list[int]], ends: Collection[int], prompt_tokens: list[int]
) -> Generated:
    """Answers of these tokens."""
    return Generated(
        token_ids=token_ids,
        texts=tokenizer.batch_decode(token_ids, skip_special_tokens=True),
        finish_reasons=["stop" if ids and ids[-1] in ends else "length" for ids in token_ids],
        prompt_tokens=prompt_tokens,
    )


def end_token_ids(model: Any, tokenizer: Any) -> list[int]:
    """The ids that end an answer: the tokenizer's, and those the model's own folder names."""
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return sorted({tokenizer.eos_token_id, *(end for end in ends if end is not None)})


def pad_token_id(tokenizer: Any) -> int:
    """The padding id; masks say what is padding, so any id will do where none is defined."""
    pad = tokenizer.pad_token_id
    return int(tokenizer.eos_token_id if pad is None else pad)


def picture_token_ids(model: Any) -> list[int]:
    """Ids that stand for a picture that is there: an answer cannot hold one."""
    ids = {getattr(model.config, f"{kind}_token_id", None) for kind in ("image", "video")}
    return sorted(token for token in ids if token is not None)


def _config(model: Any, ends: list[int], tokenizer: Any) -> Any:
    from transformers import GenerationConfig

    return GenerationConfig(
        eos_token_id=ends,
        pad_token_id=pad_token_id(tokenizer),
        suppress_tokens=picture_token_ids(model),
        do_sample=False,
        return_dict_in_generate=True,
    )
