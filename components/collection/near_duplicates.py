"""Near-duplicates among any number of pictures, in time that grows with their number alone.

Candidates come from a banded index of the 64-bit hashes: several bands of bits drawn at random,
each as long as keeps its buckets at about one entry however many pictures there are, looked up as
they are and with each single bit turned. Of the pairs found, those within a radius are verified by
their thumbnails. Pairs with different labels are never looked at.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from components.collection.closeness import Closeness

if TYPE_CHECKING:
    import numpy.typing as npt

    from components.collection.fingerprints import Thumbnails

    Numbers = npt.NDArray[np.int64]
    Hashes = npt.NDArray[np.uint64]
    Thumbs = npt.NDArray[np.uint8] | Thumbnails

BANDS = 12
"""Of pairs 8 of 64 bits apart 99% meet in one band at least, at 100,000 pictures."""
BUCKET = 16
"""Entries of a bucket looked at, the earliest; thousands of blank pages stay linear in time."""
BLOCK = 2**14
"""Pictures looked up at a time; bounds memory."""
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
    """Pairs of a picture and an entry (twice another picture, plus the view), `[pairs, 2]`."""
    entries = hashes.reshape(-1)  # a picture's two views follow each other
    size = max(8, int(np.ceil(np.log2(len(entries) + 1))))
    draw = np.random.default_rng(SAMPLING_SEED)
    codes = np.empty(0, np.int64)
    for _ in range(BANDS):
        bits = draw.choice(64, size, replace=False)
        near = [codes]
        for picture, entry in _meetings(_keys(entries, bits), size):
            wanted = (picture != entry // 2) & (labels[picture] == labels[entry // 2])
            picture, entry = picture[wanted], entry[wanted]
            apart = np.bitwise_count(hashes[picture, 0] ^ entries[entry])
            within = apart <= closeness.radius
            near.append(picture[within] * len(entries) + entry[within])
        codes = np.unique(np.concatenate(near))
    return np.stack(np.divmod(codes, max(len(entries), 1)), axis=1)


def _keys(entries: "Hashes", bits: "Numbers") -> "Numbers":
    """The chosen bits of each hash as a number."""
    keys = np.zeros(len(entries), np.int64)
    for place, bit in enumerate(bits.tolist()):
        keys |= ((entries >> np.uint64(bit)) & np.uint64(1)).astype(np.int64) << place
    return keys


def _meetings(keys: "Numbers", size: int) -> Iterator[tuple["Numbers", "Numbers"]]:
    """Pictures whose first view meets an entry in a bucket, or in one that is a bit away."""
    order = np.argsort(keys, kind="stable")
    starts = np.searchsorted(keys[order], np.arange(2**size + 1)).astype(np.int32)
    pictures = order[order % 2 == 0]  # first views, by key: lookups then stay near each other
    for begin in range(0, len(pictures), BLOCK):
        first_views = pictures[begin : begin + BLOCK]
        for turned in (0, *(1 << bit for bit in range(size))):
            looked_up = keys[first_views] ^ turned
            low = starts[looked_up]
            counts = np.minimum(starts[looked_up + 1] - low, BUCKET)
            picture = np.repeat(np.arange(len(looked_up)), counts)
            within = np.arange(len(picture)) - np.repeat(np.cumsum(counts) - counts, counts)
            yield first_views[picture] // 2, order[low[picture] + within]


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
