"""What trainers on preference pairs share: their data, their steps, their figures."""

from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate as accumulated
from pathlib import Path
from typing import Any

import torch

from spavl.alignment import processes
from spavl.alignment.batching import epoch_batches
from spavl.alignment.calibration import calibration
from spavl.alignment.losses import PairwiseLoss, reward_loss
from spavl.alignment.rows import PairRows, Tokenised, Tokeniser
from spavl.errors import InputError
from spavl.records import Preference
from spavl.seeds import derive_seed
from spavl.shards import read_records
from spavl.statistics import rate


@dataclass(frozen=True)
class PairData:
    """Tokenised pairs by split, and what was dropped: split to reason to number of pairs."""

    splits: dict[str, list[PairRows]]
    dropped: dict[str, dict[str, int]]


def read_pairs(
    tokeniser: Tokeniser, folders: Mapping[str, Path | str], overlong: str = "drop"
) -> PairData:
    """Read and tokenise preference data sets.

    Args:
        tokeniser: Of the model to be trained.
        folders: Folder of each split.
        overlong: What happens to rows over the tokeniser's `max_length`: `drop` or `error`.

    Raises:
        InputError: If a split named `train` has no usable pair, or a row is too long and must not
            be.
    """
    found: dict[str, Tokenised] = {}
    for split, folder in folders.items():
        usable, empty = without_contrast(read_records(folder, Preference))
        part = tokeniser.pairs(usable)
        found[split] = Tokenised(part.pairs, {**part.dropped, **empty})
        refuse_overlong(part.dropped, overlong, str(folder))
    if not found["train"].pairs:
        raise InputError(
            f"no usable pair: dropped {found['train'].dropped or 'none'}",
            str(folders["train"]),
            "give more preferences or a larger max_length",
        )
    return PairData(
        {split: part.pairs for split, part in found.items()},
        {split: part.dropped for split, part in found.items()},
    )


def without_contrast(
    preferences: Iterable[Preference],
) -> tuple[list[Preference], dict[str, int]]:
    """Leave out pairs that teach nothing: an answer is empty or blank, or both are the same.

    Returns:
        The others, and how many were left out by reason.
    """
    usable: list[Preference] = []
    dropped: Counter[str] = Counter()
    for preference in preferences:
        chosen, rejected = preference.chosen.strip(), preference.rejected.strip()
        if not chosen or not rejected:
            dropped["empty_answer"] += 1
        elif chosen == rejected:
            dropped["identical_answers"] += 1
        else:
            usable.append(preference)
    return usable, dict(dropped)


def refuse_overlong(dropped: Mapping[str, int], overlong: str, where: str) -> None:
    """Stop where rows were too long and the settings say that this is an error.

    Raises:
        InputError: Says how many there are.
    """
    if overlong == "error" and dropped.get("too_long"):
        raise InputError(
            f"{dropped['too_long']} rows are longer than max_length",
            where,
            "raise max_length, shorten the answers or set overlong to drop",
        )


class EpochSteps:
    """The batch of each optimizer step, as a function of the step's number.

    Args:
        pairs: All training pairs.
        pairs_per_step: Pairs of one optimizer step.
        epochs: Passes over the pairs.
        seed: The run's seed.
        whole_pictures: See `epoch_batches`.
    """

    def __init__(
        self,
        pairs: Sequence[PairRows],
        pairs_per_step: int,
        epochs: int,
        seed: int,
        whole_pictures: bool = False,
    ) -> None:
        self._pairs = pairs
        self._size = pairs_per_step
        self._seed = derive_seed(seed, "pairs")
        self._whole = whole_pictures
        self._epoch = -1
        self._batches: list[list[PairRows]] = []
        # Steps before each epoch; whole pictures of unequal sizes make epochs of unequal lengths.
        self._begins = [0, *accumulated(len(self._of(epoch)) for epoch in range(epochs))]
        self.total = self._begins[-1]

    def __getitem__(self, step: int) -> list[PairRows]:
        epoch = bisect(self._begins, step) - 1
        return self._of(epoch)[step - self._begins[epoch]]

    def _of(self, epoch: int) -> list[list[PairRows]]:
        if epoch != self._epoch:
            self._batches = epoch_batches(self._pairs, self._size, self._seed, epoch, self._whole)
            self._epoch = epoch
        return self._batches


def accumulate(
    pairs: Sequence[PairRows],
    cut: Callable[[Sequence[PairRows]], list[list[PairRows]]],
    loss_of: Callable[[Sequence[PairRows]], PairwiseLoss],
    backward: Callable[[torch.Tensor], None],
) -> dict[str, float]:
    """Gradients of the mean loss over a step's pairs, in passes that fit into memory.

    Each process takes a share of the pairs; its gradients are its part of the mean's.

    Args:
        pairs: The step's pairs.
        cut: Cuts pairs into forward passes.
        loss_of: Mean loss of a pass's pairs.
        backward: Adds the gradients of a loss, e.g. `Trainer.backward`.

    Returns:
        Loss, accuracy, and mean rewards with their margin over the step's pairs.
    """
    totals = torch.zeros(5, dtype=torch.float64)  # loss, right, margins, chosen, how many
    for part, counts in processes.share_of_training(pairs, cut):
        found = loss_of(part)
        share = found.loss * (counts * len(part) / len(pairs))
        backward(share)
        if counts:
            right, margin = (found.margins > 0).sum(), found.margins.sum()
            rewards = (right, margin, found.chosen.sum(), found.margins.numel())
            totals += torch.tensor([float(share.detach()), *rewards])
    loss, right, margin, chosen, number = processes.summed(totals).tolist()
    return {
        "loss": loss,
        "accuracy": right / number,
        "reward_margin": margin / number,
        "reward_chosen": chosen / number,
        "reward_rejected": (chosen - margin) / number,
    }


@torch.no_grad()
def score_pairs(
    pairs: Sequence[PairRows],
    passes: Sequence[Sequence[PairRows]],
    score: Callable[[Sequence[PairRows]], torch.Tensor],
    scores_a_pair: int = 2,
) -> torch.Tensor:
    """Score pairs without gradient, each process a share of the passes.

    Args:
        pairs: The pairs.
        passes: The same pairs, cut into forward passes, alike in every process.
        score: Gives float `[scores, pairs]` of a batch: chosen, rejected and what else there is.
        scores_a_pair: How many scores of a pair that are.

    Returns:
        float `[scores, pairs]` in the order of `pairs`, on the CPU.
    """
    places = {id(pair): place for place, pair in enumerate(pairs)}
    scores = torch.zeros(scores_a_pair, len(pairs))
    for batch, counts in processes.share_of_passes(passes):
        found = score(batch).float().cpu()
        if counts:
            scores[:, [places[id(pair)] for pair in batch]] = found
    return processes.summed(scores)


def pair_figures(
    pairs: Sequence[PairRows],
    rewards: torch.Tensor,
    loss_of: Callable[[torch.Tensor], PairwiseLoss] = lambda rewards: reward_loss(*rewards),
) -> dict[str, Any]:
    """Figures of rewards on pairs.

    Args:
        pairs: The pairs.
        rewards: float `[2, pairs]`: chosen, rejected; or what `loss_of` takes.
        loss_of: Loss of such rewards.

    Returns:
        `pair_accuracy`, mean `loss` and `reward_margin`, `calibration`, and the accuracy `by_kind`,
        `by_truth` and, of pairs on harmful pictures, `by_class` of harm.
    """
    if not pairs:
        return {"pair_accuracy": asdict(rate(0, 0)), "by_kind": {}, "by_truth": {}, "by_class": {}}
    found = loss_of(rewards)
    right = (found.margins > 0).tolist()
    preferences = [pair.preference for pair in pairs]
    return {
        "pair_accuracy": asdict(rate(sum(right), len(right))),
        "loss": float(found.loss),
        "reward_margin": float(found.margins.mean()),
        "calibration": calibration(found.margins),
        "by_kind": _accuracies(right, (preference.kind for preference in preferences)),
        "by_truth": _accuracies(right, (preference.truth for preference in preferences)),
        "by_class": _accuracies(right, (preference.class3 for preference in preferences)),
    }


def _accuracies(right: Iterable[bool], groups: Iterable[str | None]) -> dict[str, Any]:
    by_group: dict[str, list[bool]] = defaultdict(list)
    for hit, group in zip(right, groups, strict=True):
        if group is not None:
            by_group[group].append(hit)
    return {group: asdict(rate(sum(hits), len(hits))) for group, hits in sorted(by_group.items())}
