"""Packed scoring: log-probs, rewards and values from tries of rows, equal to the plain engines'.

A batch of rows becomes few packed rows in which each token sees its ancestors only. The next
token's logits are gathered at its parent, a reward at its row's last token, so rows that share a
beginning share the computation and, in the backward pass, the gradient.

Places are gathered by index_select: the gradient of indexing by a tensor is summed by threads in
whatever order they come, so a place with three children would differ in its last bits by the run.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spavl.alignment import block_attention, processes, trie_attention
from spavl.alignment.logprobs import (
    ResponseLogProbs,
    response_mask,
    right_padded,
    shown,
    token_log_probs,
)
from spavl.alignment.packing import PackedBatch, PackingLimits, PlainRow, pack, plain_rows
from spavl.alignment.rows import Row
from spavl.alignment.spread_weights import is_spread
from spavl.models.families import language_model
from spavl.models.pictures import Pictures


class PackedEngine:
    """Scores rows as `PlainEngine` and `RewardEngine` do, from fewer tokens.

    Args:
        pictures: Picture features of the models that will be asked.
        pad_token_id: Any valid id; masks say what is padding.
        tokens: Most tokens of a packed row.
    """

    def __init__(self, pictures: Pictures, pad_token_id: int, tokens: int) -> None:
        self._pictures = pictures
        self._pad = pad_token_id
        self._tokens = tokens

    def response_log_probs(
        self, model: Any, rows: Sequence[Row], temperature: float = 1.0
    ) -> ResponseLogProbs:
        """See `spavl.alignment.logprobs.LogProbEngine`; temperature divides the logits."""
        states, wanted = [], []
        index: dict[int, NDArray[np.int64]] = {}  # row to its tokens among all scored places
        count = 0
        for batch in self._packed(model, rows):
            # Answers that begin alike share places; each place is scored once.
            scored, parents, found = _scored(batch, rows)
            hidden = model.model(**self._inputs(model, batch)).last_hidden_state.flatten(0, 1)
            states.append(hidden.index_select(0, _tensor(parents, hidden)))
            wanted.append(batch.input_ids.ravel()[scored])
            index |= {number: count + places for number, places in found.items()}
            count += len(scored)
        values, entropies = token_log_probs(
            model.lm_head,
            torch.cat(states),
            _tensor(np.concatenate(wanted), states[0]),
            temperature,
        )
        mask = response_mask(rows, model.device)  # [rows, longest answer]
        spread = _tensor(np.concatenate([index[number] for number in range(len(rows))]), values)
        empty = torch.zeros(mask.shape, device=model.device)
        return ResponseLogProbs(
            values=empty.masked_scatter(mask, values.index_select(0, spread)),
            mask=mask,
            entropy=empty.masked_scatter(mask, entropies.index_select(0, spread)),
        )

    def rewards(self, model: Any, rows: Sequence[Row]) -> torch.Tensor:
        """See `spavl.alignment.rewards.RewardScorer`."""
        return self._scores(model, rows, [slice(row.length - 1, row.length) for row in rows])

    def values(self, model: Any, rows: Sequence[Row]) -> torch.Tensor:
        """See `spavl.alignment.rewards.RewardScorer`."""
        before = [slice(row.boundary - 1, row.length - 1) for row in rows]
        mask = response_mask(rows, model.device)
        empty = torch.zeros(mask.shape, device=model.device)
        return empty.masked_scatter(mask, self._scores(model, rows, before))

    def _scores(self, model: Any, rows: Sequence[Row], parts: Sequence[slice]) -> torch.Tensor:
        """Scores of a part of each row, row after row: float `[tokens of all parts]`."""
        scores: list[torch.Tensor] = []
        index: dict[int, NDArray[np.int64]] = {}
        count = 0
        for batch in self._packed(model, rows):
            scores.append(model(**self._inputs(model, batch)).flatten())  # [packs * length]
            index |= {n: count + places[parts[n]] for n, places in batch.places.items()}
            count += batch.input_ids.size
        every = torch.cat(scores)
        wanted = np.concatenate([index[n] for n in range(len(rows))])
        return every.index_select(0, _tensor(wanted, every))

    def _packed(self, model: Any, rows: Sequence[Row]) -> list[PackedBatch]:
        limits = PackingLimits(self._tokens, one_picture=not sees_blocks(model))
        batches = pack(self._plain_rows(model, rows), limits, self._pad)
        if is_spread(model):  # so all processes must call it equally often
            # A batch that comes again takes its own place: what it said before counts for nothing.
            batches += batches[-1:] * (processes.most(len(batches)) - len(batches))
        return batches

    def _plain_rows(self, model: Any, rows: Sequence[Row]) -> list[PlainRow]:
        padded = right_padded(rows, self._pad, torch.device("cpu"))
        features = self._pictures.features(shown(rows))
        positions = self._pictures.family.positions(model.model, **padded, pictures=features)
        return plain_rows(
            rows, model.config.image_token_id, self._pictures.tokens, positions.numpy()
        )

    def _inputs(self, model: Any, batch: PackedBatch) -> dict[str, Any]:
        device = model.device
        positions = torch.from_numpy(batch.positions).to(device)
        return {
            "input_ids": torch.from_numpy(batch.input_ids).to(device),
            "position_ids": positions.squeeze(0),  # [packs, length] where there is one axis
            "attention_mask": attention_mask(model, torch.from_numpy(batch.ends).to(device)),
            **self._pictures.inputs_for(model, batch.image_ids),
            "use_cache": False,
        }


def attention_of(model: Any) -> str:
    """The library's name of the attention that the language model computes with.

    Asked of the language model itself: a head on a borrowed backbone has a configuration of its
    own, which says what the backbone was loaded with.
    """
    return str(language_model(model).config._attn_implementation)


def sees_blocks(model: Any) -> bool:
    """Whether packed rows go under block masks."""
    return attention_of(model) in (block_attention.NAME, "flex_attention")


def attention_mask(model: Any, ends: torch.Tensor) -> Any:
    """The mask under which each place sees itself and its ancestors.

    Args:
        model: Decides the form: a block mask for flex_attention, else a dense additive one. A
            boolean one would do for sdpa, but eager attention adds it to the scores as 0 and 1 and
            is silently wrong.
        ends: Where the subtree of each place ends, int64 `[packs, length]`.

    Returns:
        A `BlockMask`, or float `[packs, 1, length, length]`: 0 where seen, else the least number;
        or the ends themselves, int64 `[packs, 1, 1, length]`, for `spavl.alignment.trie_attention`
        where that is faster.
    """
    packs, length = ends.shape
    if attention_of(model) == trie_attention.NAME and trie_attention.pays(ends):
        return ends[:, None, None, :]
    if sees_blocks(model):
        from torch.nn.attention.flex_attention import create_block_mask

        def is_ancestor(pack: Any, head: Any, query: Any, key: Any) -> Any:
            return (key <= query) & (query < ends[pack, key])

        return create_block_mask(is_ancestor, packs, None, length, length, device=str(ends.device))
    place = torch.arange(length, device=ends.device)
    seen = (place <= place[:, None]) & (place[:, None] < ends[:, None, :])
    least = torch.finfo(model.dtype).min
    dense = torch.zeros(seen.shape, dtype=model.dtype, device=ends.device)
    return dense.masked_fill_(~seen, least)[:, None]


def _scored(
    batch: PackedBatch, rows: Sequence[Row]
) -> tuple[NDArray[np.int64], NDArray[np.int64], dict[int, NDArray[np.int64]]]:
    """The answer places of a batch, each once, their parents, and each row's among them."""
    answers = {n: places[rows[n].boundary :] for n, places in batch.places.items()}
    parents = {n: places[rows[n].boundary - 1 : -1] for n, places in batch.places.items()}
    scored, first, inverse = np.unique(
        np.concatenate(list(answers.values())), return_index=True, return_inverse=True
    )
    cuts = np.cumsum([len(places) for places in answers.values()])[:-1]
    by_row = dict(zip(answers, np.split(inverse, cuts), strict=True))
    return scored, np.concatenate(list(parents.values()))[first], by_row


def _tensor(numbers: NDArray[np.int64], like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers)).to(like.device)
