"""The trie of a batch: what rows have in common is laid out once, depth first.

A row is a path of keys, one key a token: the token's id, or for a picture token the picture itself,
so that two pictures never share a place although their tokens have one id. Sorted rows put common
beginnings side by side, so a row only has to be compared with the one before it:

    rows, sorted        layout (a place a token)      end of each place's subtree
    <s> P P how ? yes   <s> P P how ? yes no  who ?   <s>, P, P: 9   how, ?: 7
    <s> P P how ? no     0  1 2  3  4  5  6    7  8   yes: 6  no: 7  who, ?: 9
    <s> P P who ?

In a depth-first layout a subtree is an interval. One number a place, where its subtree ends, is
therefore the whole attention mask: place `i` sees place `j` if `j <= i < end[j]`.
"""

from bisect import bisect, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Trie:
    """Paths laid out depth first.

    Attributes:
        order: Numbers of the paths, as sorted.
        shared: For each path of `order`, how many keys it has in common with the one before.
        places: For each path, by its number: the place of each of its keys, int64 `[keys]`.
        ends: For each place, the place after the last one of its subtree: int64 `[length]`.
    """

    order: tuple[int, ...]
    shared: tuple[int, ...]
    places: tuple[Ints, ...]
    ends: Ints

    @property
    def length(self) -> int:
        """Places of the layout."""
        return len(self.ends)


def sorted_paths(paths: Sequence[Ints]) -> list[int]:
    """Numbers of the paths so that common beginnings lie side by side; ties keep their order."""
    # Big-endian bytes compare like the numbers themselves, prefix before longer path.
    words = [path.astype(">u8").tobytes() for path in paths]
    return sorted(range(len(paths)), key=lambda number: (words[number], number))


def common_length(one: NDArray[Any], other: NDArray[Any]) -> int:
    """Number of keys at the beginning in which two paths agree."""
    shorter = min(len(one), len(other))
    differ = one[:shorter] != other[:shorter]
    return int(differ.argmax()) if differ.any() else shorter


def lay_out(paths: Sequence[Ints]) -> Trie:
    """Lay paths out as one trie; several roots, hence a forest, are fine.

    Args:
        paths: Keys of each path, int64 `[keys]`; equal paths end at the same place.
    """
    order = sorted_paths(paths)
    shared = [0]
    shared += [common_length(paths[a], paths[b]) for a, b in pairwise(order)]
    total = sum(len(paths[number]) for number in order) - sum(shared)
    ends = np.full(total, total, dtype=np.int64)
    places: list[Ints] = [np.empty(0, dtype=np.int64)] * len(paths)
    open_path = np.empty(0, dtype=np.int64)  # places of the path before
    begin = 0
    for number, kept in zip(order, shared, strict=True):
        ends[open_path[kept:]] = begin  # what the new path leaves is complete
        after = begin + len(paths[number]) - kept
        open_path = np.concatenate([open_path[:kept], np.arange(begin, after)])
        places[number] = open_path
        begin = after
    return Trie(tuple(order), tuple(shared), tuple(places), ends)


def ancestor_mask(ends: Ints) -> NDArray[np.bool_]:
    """Who sees whom: bool `[length, length]`, true where the column is the row or its ancestor."""
    place = np.arange(len(ends))
    seen: NDArray[np.bool_] = (place <= place[:, None]) & (place[:, None] < ends)
    return seen


class GrowingTrie:
    """How long a trie becomes as paths are added to it, without laying it out."""

    def __init__(self) -> None:
        self._words: list[bytes] = []  # sorted
        self.length = 0

    def fresh(self, path: Ints) -> int:
        """Places that the trie would gain by a path."""
        word = path.astype(">u8").tobytes()
        at = bisect(self._words, word)
        # Of a sorted list only the neighbours can share most with what is put between them.
        shared = (_common_words(word, other) for other in self._words[max(0, at - 1) : at + 1])
        return len(path) - max(shared, default=0)

    def add(self, path: Ints) -> None:
        """Put a path in."""
        self.length += self.fresh(path)
        insort(self._words, path.astype(">u8").tobytes())


def _common_words(one: bytes, other: bytes) -> int:
    return common_length(np.frombuffer(one, ">u8"), np.frombuffer(other, ">u8"))
