"""Reference log-probs as data: one pass before training, no model kept beside the policy."""

from collections.abc import Callable, Sequence

import torch

from spavl.alignment.kept_log_probs import KeptLogProbs
from spavl.alignment.pair_training import score_pairs
from spavl.alignment.rows import PairRows

Passes = Callable[[Sequence[PairRows]], list[list[PairRows]]]


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
    pairs: Sequence[PairRows],
    passes: Passes,
    log_probs: Callable[[Sequence[PairRows]], torch.Tensor],
) -> tuple[ReferenceLogProbs, int]:
    """Compute what no run before has computed.

    Args:
        kept: What was computed before, for this model.
        pairs: All pairs that will be asked for, in an order that is the same in every run.
        passes: Cuts pairs into forward passes.
        log_probs: Gives float `[2, pairs]` of a pass under the model as it is before training.

    Returns:
        The log-probs and how many pairs were computed.
    """
    missing = [pair for pair in pairs if pair.chosen not in kept or pair.rejected not in kept]

    def compute(part: Sequence[PairRows]) -> torch.Tensor:
        found = log_probs(part)
        rows = [pair.chosen for pair in part] + [pair.rejected for pair in part]
        kept.add(rows, found.flatten())
        return found

    score_pairs(missing, passes(missing), compute)
    kept.flush()
    return ReferenceLogProbs(kept), len(missing)
