"""Batches: shuffled by picture, grouped by length, the same for a seed and an epoch.

An optimizer step takes a fixed number of pairs, whatever engine scores them; only its forward
passes are cut to the engine's measure: pairs, or tokens after packing.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np

from spavl.alignment.rows import PairRows, Row
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
    pairs: Sequence[PairRows],
    batch_size: int,
    seed: int,
    epoch: int,
    whole_pictures: bool = False,
) -> list[list[PairRows]]:
    """Cut an epoch into batches.

    Pictures are shuffled, not pairs, so that the pairs of one picture mostly share a batch and its
    picture is projected once.

    Args:
        pairs: All pairs, in any order.
        batch_size: Pairs of a batch; the last batch of an epoch may be smaller.
        seed: The run's seed.
        epoch: Counted from 0.
        whole_pictures: A batch ends where a picture's pairs end: it has `batch_size` pairs on the
            average of an epoch.

    Returns:
        Batches that hold every pair once; a function of the arguments alone.
    """
    chance = random.Random(derive_seed(seed, "batches", str(epoch)))
    groups = by_picture(pairs)
    chance.shuffle(groups)
    if whole_pictures:
        return _whole(groups, batch_size)
    ordered = [pair for group in groups for pair in group]
    batches: list[list[PairRows]] = []
    for window in _cut(ordered, batch_size * BATCHES_PER_WINDOW):
        similar = sorted(by_picture(window), key=lambda group: max(pair.length for pair in group))
        cut = list(_cut([pair for group in similar for pair in group], batch_size))
        chance.shuffle(cut)
        batches.extend(cut)
    return batches


def _whole(groups: Iterable[list[PairRows]], size: int) -> list[list[PairRows]]:
    """Batches of whole groups that end as near to every multiple of `size` as they can."""
    pieces = [piece for group in groups for piece in _cut(group, size)]
    batches: list[list[PairRows]] = []
    open_batch: list[PairRows] = []
    done = 0
    for piece, following in zip(pieces, [*pieces[1:], []], strict=True):
        open_batch += piece
        done += len(piece)
        if done + len(following) / 2 >= (len(batches) + 1) * size:
            batches.append(open_batch)
            open_batch = []
    return [*batches, open_batch] if open_batch else batches


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
    return [part for part, _ in _filled(by_picture(pairs), lambda pair: pair.rows, tokens)]


def packed_row_passes(rows: Sequence[Row], numbers: Sequence[int], tokens: int) -> list[list[int]]:
    """Cut rows into passes filled close to a budget of packed tokens; see `packed_passes`.

    Args:
        rows: All rows.
        numbers: Which of them, in any order.
        tokens: Most places of a pass's tries; only a single row may have more.

    Returns:
        Passes that hold every number once; a function of the set of numbers.
    """
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number in sorted(numbers):
        groups[rows[number].image_ids].append(number)
    ordered = [groups[image_ids] for image_ids in sorted(groups)]
    return [part for part, _ in _filled(ordered, lambda number: (rows[number],), tokens)]


def even_row_passes(
    rows: Sequence[Row], numbers: Sequence[int], tokens: int, processes: int
) -> list[list[int]]:
    """Passes of rows as `packed_row_passes`, about as many and as long for each process."""
    total = packed_length(rows[number] for number in numbers)
    rounds = -(-total // (tokens * processes))
    return packed_row_passes(rows, numbers, min(tokens, -(-total // (rounds * processes))))


def packed_length(rows: Iterable[Row]) -> int:
    """Places that rows have as tries, one a picture."""
    tries = _Tries()
    for row in rows:
        tries.add(row)
    return tries.length


class _Tries:
    """Tries that grow by rows; rows of different pictures share nothing."""

    def __init__(self) -> None:
        self._by_pictures: dict[tuple[str, ...], GrowingTrie] = defaultdict(GrowingTrie)

    @property
    def length(self) -> int:
        return sum(trie.length for trie in self._by_pictures.values())

    def add(self, row: Row) -> None:
        self._by_pictures[row.image_ids].add(np.array(row.token_ids, dtype=np.int64))


Item = TypeVar("Item")


def _filled(
    groups: Iterable[Sequence[Item]], rows_of: Callable[[Item], Sequence[Row]], tokens: int
) -> list[tuple[list[Item], int]]:
    """Passes of items whose groups stay together as far as the budget goes, and their places."""
    tries = [trie for group in groups for trie in _tries_within(group, rows_of, tokens)]
    tries.sort(key=lambda trie: -trie[1])  # stable, and the groups come in a fixed order
    passes: list[tuple[list[Item], int]] = []
    for together, length in tries:
        if passes and passes[-1][1] + length <= tokens:
            passes[-1] = ([*passes[-1][0], *together], passes[-1][1] + length)
        else:
            passes.append((list(together), length))
    return passes


def _tries_within(
    group: Sequence[Item], rows_of: Callable[[Item], Sequence[Row]], tokens: int
) -> list[tuple[list[Item], int]]:
    """One group's items as tries of at most so many places: items and length of each."""
    tries: list[tuple[list[Item], int]] = []
    growing = _Tries()

    def prompt(item: Item) -> tuple[int, ...]:
        first = rows_of(item)[0]
        return first.token_ids[: first.boundary]

    for item in sorted(group, key=prompt):
        before = growing.length
        _add(growing, rows_of(item))
        if tries and growing.length <= tokens:
            tries[-1] = ([*tries[-1][0], item], growing.length)
            continue
        if before:
            growing = _Tries()
            _add(growing, rows_of(item))
        tries.append(([item], growing.length))
    return tries


def _add(tries: _Tries, rows: Sequence[Row]) -> None:
    for row in rows:
        tries.add(row)


def _cut(items: Sequence[SizedType], size: int) -> Iterator[list[SizedType]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def by_picture(pairs: Iterable[PairRows]) -> list[list[PairRows]]:
    """Pairs in groups of one picture each; a function of the set of pairs."""
    groups: dict[str, list[PairRows]] = defaultdict(list)
    for pair in sorted(pairs, key=lambda pair: pair.preference.preference_id):
        groups[pair.together].append(pair)
    return [groups[image_id] for image_id in sorted(groups)]
