"""Batches: shuffled by picture, grouped by length, the same for a seed and an epoch.

An optimizer step takes a fixed number of pairs, whatever engine scores them; only its forward
passes are cut to the engine's measure: pairs, or tokens after packing.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np

from spavl.alignment.rows import PairRows
from spavl.alignment.tries import GrowingTrie
from spavl.seeds import derive_seed

# Pictures are sorted by length within windows of this many batches: little padding, and chance
# enough left in what meets in a batch.
BATCHES_PER_WINDOW = 8


class Sized(Protocol):
    """Anything with a length in tokens."""

    @property
    def length(self) -> int:
        """Tokens."""


SizedType = TypeVar("SizedType", bound=Sized)


def epoch_batches(
    pairs: Sequence[PairRows], batch_size: int, seed: int, epoch: int
) -> list[list[PairRows]]:
    """Cut an epoch into batches.

    Pictures are shuffled, not pairs, so that the pairs of one picture mostly share a batch and its
    picture is projected once.

    Args:
        pairs: All pairs, in any order.
        batch_size: Pairs of a batch; the last batch of an epoch may be smaller.
        seed: The run's seed.
        epoch: Counted from 0.

    Returns:
        Batches that hold every pair once; a function of the arguments alone.
    """
    chance = random.Random(derive_seed(seed, "batches", str(epoch)))
    groups = by_picture(pairs)
    chance.shuffle(groups)
    ordered = [pair for group in groups for pair in group]
    batches: list[list[PairRows]] = []
    for window in _cut(ordered, batch_size * BATCHES_PER_WINDOW):
        similar = sorted(by_picture(window), key=lambda group: max(pair.length for pair in group))
        cut = list(_cut([pair for group in similar for pair in group], batch_size))
        chance.shuffle(cut)
        batches.extend(cut)
    return batches


def length_batches(items: Sequence[SizedType], batch_size: int) -> Iterator[list[SizedType]]:
    """Batches of similar length, longest first, for passes without gradient.

    The longest batch comes first so that too little memory shows at once.
    """
    return _cut(sorted(items, key=lambda item: -item.length), batch_size)


def packed_passes(pairs: Sequence[PairRows], tokens: int) -> list[list[PairRows]]:
    """Cut pairs into passes filled close to a budget of packed tokens, longest tries first.

    The pairs of a picture stay together as far as the budget goes, those of a question most of all.

    Args:
        pairs: The pairs, in any order.
        tokens: Most places of a pass's tries; only a single pair may have more.

    Returns:
        Passes that hold every pair once; a function of the set of pairs.
    """
    tries = [trie for group in by_picture(pairs) for trie in _tries_within(group, tokens)]
    tries.sort(key=lambda trie: -trie[0])  # stable, and the groups come in a fixed order
    passes: list[list[PairRows]] = []
    filled = 0
    for length, together in tries:
        if not passes or filled + length > tokens:
            passes.append([])
            filled = 0
        passes[-1].extend(together)
        filled += length
    return passes


def _tries_within(group: Sequence[PairRows], tokens: int) -> list[tuple[int, list[PairRows]]]:
    """One picture's pairs as tries of at most so many places: length and pairs of each."""
    tries: list[tuple[int, list[PairRows]]] = []
    growing = GrowingTrie()
    for pair in sorted(group, key=lambda pair: pair.chosen.token_ids[: pair.chosen.boundary]):
        before = growing.length
        _add(growing, pair)
        if tries and growing.length <= tokens:
            tries[-1] = (growing.length, [*tries[-1][1], pair])
            continue
        if before:
            growing = GrowingTrie()
            _add(growing, pair)
        tries.append((growing.length, [pair]))
    return tries


def _add(trie: GrowingTrie, pair: PairRows) -> None:
    for row in pair.rows:
        trie.add(np.array(row.token_ids, dtype=np.int64))


def _cut(items: Sequence[SizedType], size: int) -> Iterator[list[SizedType]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def by_picture(pairs: Iterable[PairRows]) -> list[list[PairRows]]:
    """Pairs in groups of one picture each; a function of the set of pairs."""
    groups: dict[str, list[PairRows]] = defaultdict(list)
    for pair in sorted(pairs, key=lambda pair: pair.preference.preference_id):
        groups[pair.preference.image_id].append(pair)
    return [groups[image_id] for image_id in sorted(groups)]
