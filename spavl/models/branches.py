"""Greedy decoding of prompts that branch off a common beginning, without a copy of it for each.

A lane is one row of the model's batch: a beginning that was read once, and after it the tokens of
several prompts and of their answers, as they come. A token sees the beginning and its own branch.
Reading the cache is most of what decoding costs after a picture of hundreds of tokens, and lanes
hold the picture once.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from spavl.models.decoding import tokens_a_round

BEGINNING, PADDING = -1, -2  # whose a place of a lane is; branches count from 0


@dataclass(frozen=True)
class Branch:
    """A prompt behind its beginning.

    Attributes:
        lane: Its lane.
        number: Its place among the branches of the lane.
        token_ids: The prompt's tokens after the beginning; one at least.
    """

    lane: int
    number: int
    token_ids: list[int]


@dataclass(frozen=True)
class Limits:
    """Where answers end, and what they cannot hold.

    Attributes:
        max_new_tokens: Token limit of an answer.
        ends: Ids that end an answer.
        suppressed: Ids that no answer holds.
        pad: Id at places that count for nothing.
    """

    max_new_tokens: int
    ends: Collection[int]
    suppressed: list[int]
    pad: int


def spread(groups: Sequence[int]) -> tuple[list[int], list[tuple[int, int]]]:
    """Lay prompts out on lanes: as many on each as a beginning has on average.

    Args:
        groups: The beginning of each prompt.

    Returns:
        The beginning of each lane, and each prompt's lane and number there.
    """
    width = -(-len(groups) // len(set(groups)))
    lanes: list[int] = []
    filled: dict[int, tuple[int, int]] = {}  # the last lane of a beginning, and its branches
    places = []
    for group in groups:
        lane, number = filled.get(group, (-1, width))
        if number == width:
            lane, number = len(lanes), 0
            lanes.append(group)
        places.append((lane, number))
        filled[group] = lane, number + 1
    return lanes, places


@torch.no_grad()
def decode_branches(
    model: Any, cache: Any, branches: Sequence[Branch], limits: Limits
) -> list[list[int]]:
    """Answer prompts greedily.

    Args:
        model: A policy whose positions count tokens, under eager or sdpa attention.
        cache: The beginnings, all of one length, one row a lane.
        branches: The prompts.
        limits: See `Limits`.

    Returns:
        Ids of each answer up to its end, the end included, or to the limit.
    """
    lanes = _Lanes(model, cache, limits.pad)
    answers: list[list[int]] = [[] for _ in branches]
    going = list(range(len(branches)))
    hidden = lanes.read(branches)
    for step in range(limits.max_new_tokens):
        logits = model.lm_head(hidden).float()
        logits[:, limits.suppressed] = -torch.inf
        for row, token in zip(going, logits.argmax(dim=-1).tolist(), strict=True):
            answers[row].append(token)
        going = [row for row in going if answers[row][-1] not in limits.ends]
        if not going or step + 1 == limits.max_new_tokens:
            break
        if (step + 1) % tokens_a_round(model.device) == 0:
            lanes.keep({branches[row].lane for row in going})
        hidden = lanes.add([(branches[row], answers[row]) for row in going])
    return answers


class _Lanes:
    """Lanes that grow by a token of each of their branches at a time."""

    def __init__(self, model: Any, cache: Any, pad: int) -> None:
        self._model, self._cache, self._pad = model, cache, pad
        self._begun = cache.get_seq_length()
        lanes = cache.layers[0].keys.shape[0]
        self._at = {lane: lane for lane in range(lanes)}
        self._owners = torch.full((lanes, self._begun), BEGINNING, device=model.device)
        self._width = 1

    def read(self, branches: Sequence[Branch]) -> torch.Tensor:
        """Read the prompts, those of a lane behind one another.

        Returns:
            The state at each prompt's last token, float `[branches, width]`.
        """
        self._width = 1 + max(branch.number for branch in branches)
        tokens: list[list[int]] = [[] for _ in self._at]
        owners: list[list[int]] = [[] for _ in self._at]
        positions: list[list[int]] = [[] for _ in self._at]
        ends = []
        for branch in branches:
            size = len(branch.token_ids)
            tokens[branch.lane] += branch.token_ids
            owners[branch.lane] += [branch.number] * size
            positions[branch.lane] += range(self._begun, self._begun + size)
            ends.append((branch.lane, len(tokens[branch.lane]) - 1))
        longest = max(map(len, tokens))

        def grid(lists: list[list[int]], filling: int) -> list[list[int]]:
            return [each + [filling] * (longest - len(each)) for each in lists]

        hidden = self._forward(grid(tokens, self._pad), grid(owners, PADDING), grid(positions, 0))
        return hidden[tuple(zip(*ends, strict=True))]

    def add(self, going: Sequence[tuple[Branch, list[int]]]) -> torch.Tensor:
        """Read the last token of each answer; ended branches of a lane that goes on get padding.

        Returns:
            The state at each, float `[going on, width]`.
        """
        tokens = [[self._pad] * self._width for _ in self._at]
        owners = [[PADDING] * self._width for _ in self._at]
        positions = [[0] * self._width for _ in self._at]
        places = []
        for branch, answer in going:
            at, number = self._at[branch.lane], branch.number
            tokens[at][number] = answer[-1]
            owners[at][number] = number
            positions[at][number] = self._begun + len(branch.token_ids) + len(answer) - 1
            places.append((at, number))
        return self._forward(tokens, owners, positions)[tuple(zip(*places, strict=True))]

    def keep(self, lanes: Collection[int]) -> None:
        """Drop all other lanes."""
        if len(lanes) < len(self._at):
            kept = [lane for lane in self._at if lane in lanes]
            chosen = torch.tensor([self._at[lane] for lane in kept], device=self._owners.device)
            self._cache.batch_select_indices(chosen)
            self._owners = self._owners[chosen]
            self._at = {lane: at for at, lane in enumerate(kept)}

    def _forward(
        self, tokens: list[list[int]], owners: list[list[int]], positions: list[list[int]]
    ) -> torch.Tensor:
        """States of new tokens, float `[lanes, tokens, width]`."""
        device = self._owners.device
        whose = torch.tensor(owners, device=device)
        self._owners = torch.cat([self._owners, whose], dim=1)
        held = self._owners[:, None]  # [lanes, 1, places]
        places = torch.arange(held.shape[-1], device=device)
        earlier = places <= places[-whose.shape[1] :, None]
        seen = ((held == BEGINNING) | (held == whose[..., None])) & earlier
        # Additive, since eager attention takes a mask of truth values for one of numbers.
        mask = torch.zeros(seen.shape, dtype=self._model.dtype, device=device)
        mask = mask.masked_fill_(~seen, torch.finfo(mask.dtype).min)[:, None]
        states: torch.Tensor = self._model.model(
            input_ids=torch.tensor(tokens, device=device),
            attention_mask=mask,
            position_ids=torch.tensor(positions, device=device),
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        return states
