"""Reference log-probs as data: one pass before training, no model kept beside the policy."""

from collections.abc import Callable, Sequence

import torch

from spavl.alignment.kept_log_probs import KeptLogProbs
from spavl.alignment.rows import PairRows


class ReferenceLogProbs:
    """Summed answer log-probs under the reference, by pair.

    Args:
        kept: Where they lie.
    """

    def __init__(self, kept: KeptLogProbs) -> None:
        self._kept = kept

    def of(self, pairs: Sequence[PairRows]) -> torch.Tensor:
        """Float `[2, pairs]`: chosen, rejected."""
        rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        return self._kept.of(rows).view(2, len(pairs))


def reference_log_probs(
    kept: KeptLogProbs,
    passes: Sequence[Sequence[PairRows]],
    log_probs: Callable[[Sequence[PairRows]], torch.Tensor],
) -> tuple[ReferenceLogProbs, int]:
    """Compute what no run before has computed.

    Args:
        kept: What was computed before, for this model.
        passes: All pairs that will be asked for, cut into the same forward passes in every run.
        log_probs: Gives float `[2, pairs]` of a pass under the model as it is before training.

    Returns:
        The log-probs and how many pairs were computed.
    """
    computed = 0
    for part in passes:
        rows = [pair.chosen for pair in part] + [pair.rejected for pair in part]
        if all(row in kept for row in rows):
            continue
        # The whole pass, though some of it may be kept: in other company the same row's log-probs
        # differ in their last bits, and an interrupted run must end as one that never was.
        with torch.no_grad():
            kept.add(rows, log_probs(part).flatten())
        computed += len(part)
    kept.flush()
    return ReferenceLogProbs(kept), computed
