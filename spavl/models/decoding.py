"""Decoding in rounds of a few tokens, between which rows that have ended leave the batch.

The library goes on computing a finished row until the last row of its batch is finished.
"""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, TopPLogitsWarper

from spavl.chat.interface import Sampling

TOKENS_A_ROUND = 4
# A round ends on the host: an accelerator waits for it, and computing ended rows costs it little.
TOKENS_A_ROUND_ON_ACCELERATORS = 64


class Draws(LogitsProcessor):  # type: ignore[misc]
    """Makes scores whose highest is a token drawn from the model's distribution.

    Probabilities divided by exponential noise, as `torch.multinomial` does it. Noise is made for
    all rows of the batch at every token, so a row's draws do not depend on who has left.

    Args:
        sampling: Temperature above 0, nucleus and seed.
        device: Where the scores are.
    """

    def __init__(self, sampling: Sampling, device: torch.device) -> None:
        self._rows = 0
        self._live: list[int] = []
        self._temperature = sampling.temperature
        self._nucleus = TopPLogitsWarper(sampling.top_p) if sampling.top_p < 1 else None
        self._generator = torch.Generator(device).manual_seed(sampling.seed)

    def begin(self, rows: int) -> None:
        """A batch of so many rows begins."""
        self._rows, self._live = rows, list(range(rows))

    def keep(self, places: list[int]) -> None:
        """Only these of the rows that are left go on."""
        self._live = [self._live[place] for place in places]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores `[live rows, vocabulary]` of the rows that are left."""
        scores = scores / self._temperature
        if self._nucleus is not None:
            scores = self._nucleus(input_ids, scores)
        noise = scores.new_empty((self._rows, scores.shape[1])).exponential_(
            generator=self._generator
        )
        noise = noise if len(self._live) == self._rows else noise[self._live]
        return scores.softmax(dim=-1).div_(noise)


def tokens_a_round(device: torch.device) -> int:
    """Tokens after which rows that have ended leave the batch."""
    return TOKENS_A_ROUND if device.type == "cpu" else TOKENS_A_ROUND_ON_ACCELERATORS


def decode(
    model: Any,
    inputs: Mapping[str, Any],
    config: GenerationConfig,
    sampling: Sampling,
    repeats: int = 1,
) -> list[list[int]]:
    """Answer a left-padded batch.

    Args:
        model: A policy.
        inputs: `input_ids` and `attention_mask` `[batch, length]`, a cache, and picture arguments
            unless the cache holds all but the prompts' last token.
        config: Greedy decoding with the ids that end an answer.
        sampling: How tokens are chosen, and the limit of an answer.
        repeats: Answers of each prompt. Prompts with their pictures are read once, whatever the
            number.

    Returns:
        Ids of each answer up to its end, the end included, or to the limit; those of one prompt
        side by side.
    """
    draws = Draws(sampling, model.device) if sampling.temperature > 0 else None
    if repeats > 1:
        inputs = _read_once(model, inputs, config, draws, repeats)
    live = list(range(len(inputs["input_ids"])))
    answers: list[list[int]] = [[] for _ in live]
    if draws:
        draws.begin(len(live))
    tokens = tokens_a_round(model.device)
    for start in range(0, sampling.max_new_tokens, tokens):
        limit = min(tokens, sampling.max_new_tokens - start)
        read = _generate(model, inputs, config, draws, limit)
        fresh = read.sequences[:, inputs["input_ids"].shape[1] :].tolist()
        for row, drawn in zip(live, fresh, strict=True):
            answers[row] += _until_end(drawn, config.eos_token_id)
        kept = [
            place for place, row in enumerate(live) if answers[row][-1] not in config.eos_token_id
        ]
        if not kept:
            break
        inputs = _going_on(model, read, inputs["attention_mask"], kept)
        live = [live[place] for place in kept]
        if draws:
            draws.keep(kept)
    return answers


def _generate(
    model: Any, inputs: Mapping[str, Any], config: GenerationConfig, draws: Draws | None, limit: int
) -> Any:
    config.max_new_tokens = limit
    return model.generate(
        **inputs,
        generation_config=config,
        logits_processor=LogitsProcessorList([draws] if draws else []),
    )


def _read_once(
    model: Any,
    inputs: Mapping[str, Any],
    config: GenerationConfig,
    draws: Draws | None,
    repeats: int,
) -> dict[str, Any]:
    """Read prompts into a cache and repeat it, so that only their last token is read again."""
    if draws:
        draws.begin(len(inputs["input_ids"]))
    cache = _generate(model, inputs, config, draws, limit=1).past_key_values
    cache.crop(-1)  # generation goes on from the last token of the prompt, which is never padding
    cache.batch_repeat_interleave(repeats)
    if getattr(model.model, "rope_deltas", None) is not None:  # positions of the Qwen family
        model.model.rope_deltas = model.model.rope_deltas.repeat_interleave(repeats, dim=0)
    return {
        "input_ids": inputs["input_ids"].repeat_interleave(repeats, dim=0),
        "attention_mask": inputs["attention_mask"].repeat_interleave(repeats, dim=0),
        "past_key_values": cache,
    }


def _going_on(model: Any, read: Any, mask: torch.Tensor, kept: list[int]) -> dict[str, Any]:
    """The rows that go on, all of their tokens but the last in the cache."""
    ids, cache = read.sequences, read.past_key_values
    mask = torch.nn.functional.pad(mask, (0, ids.shape[1] - mask.shape[1]), value=1)
    if len(kept) < len(ids):
        chosen = torch.tensor(kept, device=ids.device)
        ids, mask = ids[chosen], mask[chosen]
        cache.batch_select_indices(chosen)
        if getattr(model.model, "rope_deltas", None) is not None:  # positions of the Qwen family
            model.model.rope_deltas = model.model.rope_deltas[chosen]
    return {"input_ids": ids, "attention_mask": mask, "past_key_values": cache}


def _until_end(answer: list[int], ends: Collection[int]) -> list[int]:
    for place, token in enumerate(answer):
        if token in ends:
            return answer[: place + 1]
    return answer
