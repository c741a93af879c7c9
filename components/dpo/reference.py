"""Reference log-probs as data: one pass before training, kept with the work, no model kept."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from spavl.alignment.pair_training import score_pairs
from spavl.alignment.rows import PairRows
from spavl.work import Work

REFERENCE_FILE = "reference.safetensors"


class ReferenceLogProbs:
    """Summed answer log-probs under the reference, by preference.

    Args:
        pairs: The pairs they belong to.
        log_probs: float `[2, pairs]`: chosen, rejected.
    """

    def __init__(self, pairs: Sequence[PairRows], log_probs: torch.Tensor) -> None:
        self._log_probs = log_probs
        self._places = {pair.preference.preference_id: place for place, pair in enumerate(pairs)}

    def of(self, pairs: Sequence[PairRows]) -> torch.Tensor:
        """Float `[2, pairs]`: chosen, rejected."""
        return self._log_probs[:, [self._places[pair.preference.preference_id] for pair in pairs]]


def reference_log_probs(
    work: Work,
    pairs: Sequence[PairRows],
    log_probs: Callable[[Sequence[PairRows]], torch.Tensor],
    batch_size: int,
) -> ReferenceLogProbs:
    """Compute the table, or take the one that an interrupted run of the same work left.

    Args:
        work: The stage's work; its folder's name covers the model, the data and the settings.
        pairs: All pairs that will be asked for, in an order that is the same in every run.
        log_probs: Gives float `[2, pairs]` of a batch under the model as it is before training.
        batch_size: Pairs of a batch.
    """
    from safetensors.torch import load_file, save_file

    kept = work.folder / REFERENCE_FILE
    if not kept.exists():
        found = score_pairs(pairs, batch_size, log_probs)
        unfinished = Path(f"{kept}.unfinished")
        save_file({"log_probs": found}, unfinished)
        unfinished.rename(kept)
    return ReferenceLogProbs(pairs, load_file(kept)["log_probs"])
