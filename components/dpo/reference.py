"""Reference log-probs as data: one pass before training, no model kept beside the policy."""

from collections.abc import Callable, Sequence

import torch

from spavl.alignment import processes
from spavl.alignment.kept_log_probs import KeptLogProbs
from spavl.alignment.pair_training import score_pairs
from spavl.alignment.rows import PairRows, Row


class ReferenceLogProbs:
    """Summed answer log-probs under the reference, by pair.

    Args:
        kept: Where they lie.
    """

    def __init__(self, kept: KeptLogProbs) -> None:
        self._kept = kept

    def of(self, pairs: Sequence[PairRows]) -> torch.Tensor:
        """Float `[rows, pairs]`: see `answers`."""
        return self._kept.of(answers(pairs)).view(-1, len(pairs))


def reference_log_probs(
    kept: KeptLogProbs,
    passes: Sequence[Sequence[PairRows]],
    log_probs: Callable[[Sequence[PairRows]], torch.Tensor],
) -> tuple[ReferenceLogProbs, int]:
    """Compute what no run before has computed.

    Args:
        kept: What was computed before, for this model.
        passes: All pairs that will be asked for, cut into the same forward passes in every run.
        log_probs: Gives float `[rows, pairs]` of a pass under the model as it is before training.

    Returns:
        The log-probs and how many pairs were computed.
    """
    # The whole pass, though some of it may be kept: in other company the same row's log-probs
    # differ in their last bits, and an interrupted run must end as one that never was.
    lacking = torch.tensor([float(any(row not in kept for row in answers(p))) for p in passes])
    # What is kept may have grown between two processes' looks at it.
    places = processes.summed(lacking).nonzero().flatten().tolist()
    size = processes.count()
    for start in range(0, len(places), size):
        together = [list(passes[place]) for place in places[start : start + size]]
        pairs = [pair for part in together for pair in part]
        scores = score_pairs(pairs, together, log_probs, len(pairs[0].rows))
        kept.add(answers(pairs), scores.flatten())
    kept.flush()
    return ReferenceLogProbs(kept), sum(len(passes[place]) for place in places)


def answers(pairs: Sequence[PairRows]) -> list[Row]:
    """All chosen rows, then all rejected ones, then, for mDPO, those under another picture."""
    return [row for rows in zip(*(pair.rows for pair in pairs), strict=True) for row in rows]
