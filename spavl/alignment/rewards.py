"""Rewards and values of rows under a reward or value model."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from spavl.alignment.logprobs import last_positions, response_states, right_padded, shown
from spavl.alignment.rows import Row
from spavl.models.pictures import Pictures


class RewardScorer(Protocol):
    """Gives rewards and values of rows under a reward or value model."""

    def rewards(self, model: Any, rows: Sequence[Row]) -> torch.Tensor:
        """The score at each row's last token: float `[rows]`."""

    def values(self, model: Any, rows: Sequence[Row]) -> torch.Tensor:
        """The value before each answer token: float `[rows, longest answer]`, 0 at padding."""


class RewardEngine:
    """Scores rows; one padded row of the batch for each row.

    Args:
        pictures: Picture features of the models that will be asked.
        pad_token_id: Any valid id; masks say what is padding.
    """

    def __init__(self, pictures: Pictures, pad_token_id: int) -> None:
        self._pictures = pictures
        self._pad = pad_token_id

    def rewards(self, model: Any, rows: Sequence[Row]) -> torch.Tensor:
        """See `RewardScorer`."""
        scores = self._scores(model, rows)
        return scores[torch.arange(len(rows)), last_positions(rows, model.device)]

    def values(self, model: Any, rows: Sequence[Row]) -> torch.Tensor:
        """See `RewardScorer`."""
        return response_states(self._scores(model, rows), rows)

    def _scores(self, model: Any, rows: Sequence[Row]) -> torch.Tensor:
        batch = right_padded(rows, self._pad, model.device)
        pictures = self._pictures.inputs_for(model, shown(rows), batch["input_ids"])
        scores: torch.Tensor = model(**batch, **pictures, use_cache=False)
        return scores
