"""Packing: rows with common beginnings become tries, and tries the rows of a batch.

Rows come tokenised exactly as a plain trainer would feed them, with the positions that a plain
forward would give them. Packing only removes repetition: every distinct path is computed once, and
a batch knows where each row's tokens went. Chat templates, beginnings of sequence, the place of the
picture and merges at the seam of prompt and answer need no thought here.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spavl.alignment.rows import Row
from spavl.alignment.tries import Ints, Trie, common_length, lay_out, sorted_paths

PICTURE_KEY = 1 << 40  # above every token id
# A trie joins a batch of longer ones while padding stays under this share of the batch.
MOST_PADDING = 0.1


@dataclass(frozen=True)
class PackingLimits:
    """What may lie in one packed row.

    Attributes:
        tokens: Most tokens of a packed row; only a single path may be longer.
        one_picture: Whether rows of different pictures are kept apart. A dense mask costs the
            square of a packed row's length, block masks cost what they show.
    """

    tokens: int
    one_picture: bool = True


@dataclass(frozen=True)
class PlainRow:
    """A row as the packing sees it.

    Attributes:
        row: The row.
        path: Its keys: token ids, and one key a picture at picture tokens, int64 `[length]`.
        picture_starts: Where each of its pictures begins.
        positions: Its positions in a plain forward, int64 `[axes, length]`.
    """

    row: Row
    path: Ints
    picture_starts: tuple[int, ...]
    positions: Ints


@dataclass(frozen=True)
class PackedBatch:
    """Packed rows side by side, padded on the right.

    Attributes:
        input_ids: int64 `[packs, length]`.
        positions: int64 `[axes, packs, length]`.
        ends: Where the subtree of each place ends, int64 `[packs, length]`; padding is a chain of
            its own.
        image_ids: Pictures in the order of their tokens, pack after pack.
        places: For each row, by its number, the place of each token in the flattened batch.
        tokens: Places that are not padding.
    """

    input_ids: Ints
    positions: Ints
    ends: Ints
    image_ids: tuple[str, ...]
    places: dict[int, Ints]
    tokens: int


def plain_rows(
    rows: Sequence[Row],
    image_token_id: int,
    tokens_of: Callable[[str], int],
    positions: NDArray[np.int64],
) -> list[PlainRow]:
    """Prepare rows.

    Args:
        rows: The rows.
        image_token_id: The id of picture tokens.
        tokens_of: Picture tokens of an image id.
        positions: Of a right-padded batch of these rows, int64 `[axes, rows, longest]`.

    Raises:
        ValueError: If a row's picture tokens are not those of its pictures.
    """
    key_of: dict[str, int] = {}
    prepared = []
    for number, row in enumerate(rows):
        path = np.array(row.token_ids, dtype=np.int64)
        pictured = np.flatnonzero(path == image_token_id)
        counts = [tokens_of(image_id) for image_id in row.image_ids]
        if sum(counts) != len(pictured):
            raise ValueError(f"{len(pictured)} picture tokens for pictures of {counts}")
        keys = [key_of.setdefault(i, PICTURE_KEY + len(key_of)) for i in row.image_ids]
        path[pictured] = np.repeat(keys, counts)
        starts = pictured[np.cumsum([0, *counts[:-1]])] if counts else []
        cut = positions[:, number, : len(path)]
        prepared.append(PlainRow(row, path, tuple(int(start) for start in starts), cut))
    return prepared


def pack(rows: Sequence[PlainRow], limits: PackingLimits, pad_token_id: int) -> list[PackedBatch]:
    """Lay rows out as batches of packed rows, longest first.

    Args:
        rows: The rows; equal rows share all their places.
        limits: What may lie in one packed row.
        pad_token_id: Stands at padding.

    Returns:
        Batches that hold every row once, by its number in `rows`.
    """
    packs = [
        (numbers, lay_out([rows[number].path for number in numbers]))
        for numbers in compose(rows, limits)
    ]
    packs.sort(key=lambda pack: -pack[1].length)
    return [_batch(rows, similar, pad_token_id) for similar in _of_similar_length(packs)]


def compose(rows: Sequence[PlainRow], limits: PackingLimits) -> list[list[int]]:
    """Decide which rows lie in which packed row: neighbours in the trie, up to the limit."""
    packs: list[list[int]] = []
    for group in _groups(rows, limits.one_picture):
        order = [group[place] for place in sorted_paths([rows[n].path for n in group])]
        current, size = [order[0]], len(rows[order[0]].path)
        for before, number in pairwise(order):
            path = rows[number].path
            fresh = len(path) - common_length(rows[before].path, path)
            if size + fresh > limits.tokens:
                packs.append(current)
                current, size = [number], len(path)
            else:
                current.append(number)
                size += fresh
        packs.append(current)
    return packs


def _groups(rows: Sequence[PlainRow], one_picture: bool) -> list[list[int]]:
    if not one_picture:
        return [list(range(len(rows)))]
    groups: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        groups[row.row.image_id].append(number)
    return list(groups.values())


def _of_similar_length(
    packs: Sequence[tuple[list[int], Trie]],
) -> Iterator[list[tuple[list[int], Trie]]]:
    """Cut packs, longest first, where padding to the longest would become too much."""
    batch: list[tuple[list[int], Trie]] = []
    filled = 0
    for pack in packs:
        longest = batch[0][1].length if batch else pack[1].length
        padded = longest * (len(batch) + 1)
        if batch and filled + pack[1].length < (1 - MOST_PADDING) * padded:
            yield batch
            batch, filled = [], 0
        batch.append(pack)
        filled += pack[1].length
    yield batch


def _batch(
    rows: Sequence[PlainRow], packs: Sequence[tuple[list[int], Trie]], pad_token_id: int
) -> PackedBatch:
    longest = packs[0][1].length
    shape = len(packs), longest
    input_ids = np.full(shape, pad_token_id, dtype=np.int64)
    positions = np.zeros((len(rows[0].positions), *shape), dtype=np.int64)
    ends = np.full(shape, longest, dtype=np.int64)
    image_ids: list[str] = []
    places: dict[int, Ints] = {}
    for at, (numbers, trie) in enumerate(packs):
        ends[at, : trie.length] = trie.ends
        for place, shared in zip(trie.order, trie.shared, strict=True):
            row = rows[numbers[place]]
            fresh = trie.places[place][shared:]
            input_ids[at, fresh] = row.row.token_ids[shared:]
            positions[:, at, fresh] = row.positions[:, shared:]
            image_ids += _pictures_from(row, shared)
            places[numbers[place]] = at * longest + trie.places[place]
    tokens = sum(trie.length for _, trie in packs)
    return PackedBatch(input_ids, positions, ends, tuple(image_ids), places, tokens)


def _pictures_from(row: PlainRow, shared: int) -> list[str]:
    """The pictures that begin in the part of a row that is its own."""
    starts = zip(row.row.image_ids, row.picture_starts, strict=True)
    return [image_id for image_id, start in starts if start >= shared]
