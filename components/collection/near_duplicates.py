"""Near-duplicates among any number of pictures, in time that grows with their number alone.

Candidates come from a banded index of the 64-bit hashes: many bands of bits drawn at random, each
as long as keeps its buckets at about one entry however many pictures there are. Of the pairs that
meet in a bucket, those within a radius are verified by their thumbnails. Pairs with different
labels are never merged.
"""

from collections.abc import Iterator
from math import ceil, comb, log, log1p
from typing import TYPE_CHECKING

import numpy as np

from components.collection.closeness import Closeness

if TYPE_CHECKING:
    import numpy.typing as npt

    from components.collection.fingerprints import Thumbnails

    Numbers = npt.NDArray[np.int64]
    Hashes = npt.NDArray[np.uint64]
    Thumbs = npt.NDArray[np.uint8] | Thumbnails

SHORTEST = 20
"""Bits of a band, up to half a million pictures; one more for each doubling above."""
APART = 8
MISSED = 0.01
"""So many bands are drawn that of pairs `APART` bits apart this share meets in none."""
BUCKET = 16
"""Entries of a bucket that each is compared with, the earliest; thousands of blank pages stay
linear in time."""
SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""An odd factor without pattern: a product's upper bits hang on all bits of the hash."""
PAIRS_AT_ONCE = 2**8
"""Pairs verified at a time; bounds memory, since each has two thumbnails as float32."""
SAMPLING_SEED = 0


def near_duplicates(
    hashes: "Hashes", thumbs: "Thumbs", labels: "Numbers", closeness: Closeness
) -> dict[int, int]:
    """Which pictures repeat an earlier one.

    Args:
        hashes: Perceptual hashes of both views, `[pictures, 2]`.
        thumbs: Thumbnails of both views, `[pictures, 2, 16, 16, 3]`; may lie in a file.
        labels: Pictures may repeat each other if their labels are equal, `[pictures]`.
        closeness: When two count as the same.

    Returns:
        Place of the repeating picture to the place of the picture it repeats, which is kept.
    """
    repeats: dict[int, int] = {}
    for earlier, later in verified_pairs(hashes, thumbs, labels, closeness).tolist():  # by later
        if earlier not in repeats:
            repeats.setdefault(later, earlier)
    return repeats


def verified_pairs(
    hashes: "Hashes", thumbs: "Thumbs", labels: "Numbers", closeness: Closeness
) -> "Numbers":
    """All pairs found, `[pairs, 2]`: the earlier and the later picture, sorted by the later."""
    found = [np.empty((0, 2), np.int64)]
    for pairs in _blocks(_candidates(np.ascontiguousarray(hashes), labels, closeness)):
        picture, other, view = pairs[:, 0], pairs[:, 1] // 2, pairs[:, 1] % 2
        alike = _difference(thumbs[picture, 0], thumbs[other, view])
        close = alike <= closeness.difference
        found.append(np.sort(np.stack([picture[close], other[close]], axis=1), axis=1))
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]


def _candidates(hashes: "Hashes", labels: "Numbers", closeness: Closeness) -> "Numbers":
    """Pairs of a picture and an entry (twice another picture, plus the view), `[pairs, 2]`.

    The picture's own view is the first.
    """
    entries = hashes.reshape(-1)  # a picture's two views follow each other
    codes = np.empty(0, np.int64)
    for mask in _masks(len(entries)):
        near = [codes]
        for one, other in _meetings(entries, mask):
            apart = np.bitwise_count(entries[one] ^ entries[other])
            wanted = (apart <= closeness.radius) & (one & other & 1 == 0)
            one, other = one[wanted], other[wanted]
            one, other = np.where(one & 1 == 0, (one, other), (other, one))
            wanted = (one // 2 != other // 2) & (labels[one // 2] == labels[other // 2])
            near.append((one // 2 * len(entries) + other)[wanted])
        codes = np.unique(np.concatenate(near))
    return np.stack(np.divmod(codes, max(len(entries), 1)), axis=1)


def _masks(entries: int) -> Iterator[np.uint64]:
    """Bits of each band: as many as keep buckets small, of as many bands as find close pairs."""
    size = max(SHORTEST, entries.bit_length())
    found = comb(64 - APART, size) / comb(64, size)  # a band holds none of the bits that differ
    draw = np.random.default_rng(SAMPLING_SEED)
    for _ in range(ceil(log(MISSED) / log1p(-found))):
        bits = draw.choice(64, size, replace=False).astype(np.uint64)
        yield np.bitwise_or.reduce(np.uint64(1) << bits)


def _meetings(entries: "Hashes", mask: np.uint64) -> Iterator[tuple["Numbers", "Numbers"]]:
    """Pairs of entries, the earlier first, that are equal in a band: they are sorted by it.

    Sorting goes through memory in order, where looking up would jump; and what is sorted is one
    array of numbers, the place below a digest of the band.
    """
    below = np.uint64(len(entries).bit_length())
    digests = (entries & mask) * SPREAD >> below << below
    ordered = np.sort(digests | np.arange(len(entries), dtype=np.uint64))
    later = np.flatnonzero((ordered[1:] ^ ordered[:-1]) >> below == 0) + 1  # not first in a bucket
    begins = np.diff(later, prepend=0) != 1
    first = np.maximum.accumulate(np.where(begins, later - 1, 0))
    entry = (np.uint64(1) << below) - np.uint64(1)  # the bits that hold it
    for step in range(BUCKET):
        more = later - first > step
        later, first = later[more], first[more]
        yield (ordered[first + step] & entry).view("i8"), (ordered[later] & entry).view("i8")


def _blocks(pairs: "Numbers") -> Iterator["Numbers"]:
    return (pairs[at : at + PAIRS_AT_ONCE] for at in range(0, len(pairs), PAIRS_AT_ONCE))


def _difference(
    ours: "npt.NDArray[np.uint8]", theirs: "npt.NDArray[np.uint8]"
) -> "npt.NDArray[np.float32]":
    """Mean difference of thumbnails `[pairs, 16, 16, 3]` over their contrast, `[pairs]`.

    Two levels of 256 are added to the contrast, so that a flat picture is like itself compressed.
    """
    first, second = ours.astype(np.float32), theirs.astype(np.float32)
    apart = np.abs(first - second).mean(axis=(1, 2, 3))
    contrast = first.std(axis=(1, 2)) + second.std(axis=(1, 2))  # [pairs, 3]
    return np.asarray(apart / (2.0 + contrast.mean(axis=-1) / 2))
