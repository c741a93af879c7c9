"""Batched generation with left padding: the same answers at every batch size when greedy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from spavl.chat.interface import Sampling


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
    return generate_from(model, processor.tokenizer, inputs.to(model.device), sampling)


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
def generate_from(model: Any, tokenizer: Any, inputs: Any, sampling: Sampling) -> Generated:
    """Answer a left-padded batch; see `generate`.

    Args:
        model: A policy.
        tokenizer: Its tokenizer.
        inputs: `input_ids` and `attention_mask` `[batch, length]` and picture arguments.
        sampling: How tokens are chosen.

    Returns:
        The answers.
    """
    ends = end_token_ids(model, tokenizer)
    with torch.random.fork_rng(enabled=sampling.temperature > 0):
        torch.manual_seed(sampling.seed)
        sequences = model.generate(**inputs, generation_config=_config(ends, tokenizer, sampling))
    answers = sequences[:, inputs["input_ids"].shape[1] :].tolist()
    token_ids = [_until_end(answer, ends) for answer in answers]
    return Generated(
        token_ids=token_ids,
        texts=tokenizer.batch_decode(token_ids, skip_special_tokens=True),
        finish_reasons=["stop" if ids and ids[-1] in ends else "length" for ids in token_ids],
        prompt_tokens=inputs["attention_mask"].sum(dim=1).tolist(),
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


def _config(ends: list[int], tokenizer: Any, sampling: Sampling) -> Any:
    from transformers import GenerationConfig

    chance: dict[str, Any] = {"do_sample": False}
    if sampling.temperature > 0:
        chance = {
            "do_sample": True,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": 0,
        }
    return GenerationConfig(
        max_new_tokens=sampling.max_new_tokens,
        eos_token_id=ends,
        pad_token_id=pad_token_id(tokenizer),
        **chance,
    )


def _until_end(answer: list[int], ends: list[int]) -> list[int]:
    for place, token in enumerate(answer):
        if token in ends:
            return answer[: place + 1]
    return answer
