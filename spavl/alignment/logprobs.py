"""Log-probabilities of answers: the language-model head runs on answer positions only.

`LogProbEngine` is the one interface the losses use. `PlainEngine` pads rows side by side; an engine
that packs rows sharing a prefix gives the same numbers from fewer tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from spavl.alignment.rows import Row
from spavl.models.pictures import Pictures

# Positions whose logits are held at a time: 4096 x 32,000 words in fp32 are 500 MiB.
POSITIONS_PER_CHUNK = 4096


@dataclass(frozen=True)
class ResponseLogProbs:
    """Log-probs of rows' answers, padded on the right.

    Attributes:
        values: float `[rows, longest answer]`, zero at padding.
        mask: bool `[rows, longest answer]`, true at answer tokens.
        entropy: Entropy of the predicted distributions in nats, like `values`, without gradient.
    """

    values: torch.Tensor
    mask: torch.Tensor
    entropy: torch.Tensor

    def sums(self) -> torch.Tensor:
        """Summed log-prob of each answer: float `[rows]`."""
        return self.values.sum(dim=1)


class LogProbEngine(Protocol):
    """Gives the log-probs of answers under a model."""

    def response_log_probs(
        self, model: Any, rows: Sequence[Row], temperature: float = 1.0
    ) -> ResponseLogProbs:
        """Log-probs of every answer token of `rows` under `model`, with gradient if enabled."""


class PlainEngine:
    """One padded row of the batch for each row.

    Args:
        pictures: Picture features of the models that will be asked.
        pad_token_id: Any valid id; masks say what is padding.
    """

    def __init__(self, pictures: Pictures, pad_token_id: int) -> None:
        self._pictures = pictures
        self._pad = pad_token_id

    def response_log_probs(
        self, model: Any, rows: Sequence[Row], temperature: float = 1.0
    ) -> ResponseLogProbs:
        """See `LogProbEngine`; temperature divides the logits."""
        batch = right_padded(rows, self._pad, model.device)
        pictures = self._pictures.inputs_for(model, shown(rows), batch["input_ids"])
        hidden = model.model(**batch, **pictures, use_cache=False).last_hidden_state
        mask = response_mask(rows, model.device)  # [rows, longest answer]
        # The token at position p is predicted by the state at p - 1.
        states = response_states(hidden, rows)[mask]  # [answer tokens, width]
        wanted = torch.tensor(
            [token for row in rows for token in row.token_ids[row.boundary :]], device=model.device
        )
        found, entropies = token_log_probs(model.lm_head, states, wanted, temperature)
        empty = torch.zeros(mask.shape, device=model.device)
        return ResponseLogProbs(
            values=empty.masked_scatter(mask, found),
            mask=mask,
            entropy=empty.masked_scatter(mask, entropies),
        )


def token_log_probs(
    head: Any, states: torch.Tensor, wanted: torch.Tensor, temperature: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probs of tokens from the states that predict them, a chunk of positions at a time.

    Under gradient the logits of a chunk are recomputed in the backward pass when there are several.

    Args:
        head: The language-model head.
        states: float `[tokens, width]`.
        wanted: int64 `[tokens]`.
        temperature: Divides the logits.

    Returns:
        Log-probs and entropies in nats, both float32 `[tokens]`.
    """

    def of_chunk(part: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        distribution = (head(part).float() / temperature).log_softmax(dim=-1)
        with torch.no_grad():
            entropy = -(distribution.exp() * distribution).sum(dim=-1)
        return distribution.gather(1, ids[:, None]).squeeze(1), entropy

    chunks = torch.split(states, POSITIONS_PER_CHUNK), torch.split(wanted, POSITIONS_PER_CHUNK)
    parts = list(zip(*chunks, strict=True))
    if len(parts) == 1 or not torch.is_grad_enabled():
        results = [of_chunk(part, ids) for part, ids in parts]
    else:
        results = [checkpoint(of_chunk, part, ids, use_reentrant=False) for part, ids in parts]
    values, entropies = zip(*results, strict=True)
    return torch.cat(values), torch.cat(entropies)


def right_padded(
    rows: Sequence[Row], pad_token_id: int, device: torch.device
) -> dict[str, torch.Tensor]:
    """Rows as a batch padded on the right.

    Returns:
        `input_ids` and `attention_mask`, int64 `[rows, longest]`.
    """
    longest = max(row.length for row in rows)
    ids = [list(row.token_ids) + [pad_token_id] * (longest - row.length) for row in rows]
    masks = [[1] * row.length + [0] * (longest - row.length) for row in rows]
    return {
        "input_ids": torch.tensor(ids, device=device),
        "attention_mask": torch.tensor(masks, device=device),
    }


def shown(rows: Sequence[Row]) -> list[str]:
    """The rows' pictures in the order of their tokens, row after row."""
    return [image_id for row in rows for image_id in row.image_ids]


def response_mask(rows: Sequence[Row], device: torch.device) -> torch.Tensor:
    """True at answer tokens: bool `[rows, longest answer]`."""
    lengths = torch.tensor([row.response_length for row in rows], device=device)
    return torch.arange(int(lengths.max()), device=device) < lengths[:, None]


def response_states(per_position: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """What stands one position before each answer token, where that token is predicted.

    Args:
        per_position: `[rows, length, ...]`, states or values of a right-padded batch.
        rows: The batch's rows.

    Returns:
        `[rows, longest answer, ...]`; zero at padding.
    """
    longest = max(row.response_length for row in rows)
    cut = [per_position[place, row.boundary - 1 : row.length - 1] for place, row in enumerate(rows)]
    filler = [0, 0] * (per_position.dim() - 2)
    return torch.stack([pad(part, [*filler, 0, longest - part.shape[0]]) for part in cut])


def last_positions(rows: Sequence[Row], device: torch.device) -> torch.Tensor:
    """Index of each row's last token in a right-padded batch: int64 `[rows]`."""
    return torch.tensor([row.length - 1 for row in rows], device=device)
