"""What `spavl.records` and `spavl.seeds` make of one row, made of whole columns.

The values are those of `record_id` and `derive_seed`; what is saved is a Python object for each
part of each row.
"""

from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from spavl.records import framed

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow


def record_ids(kind: str, *parts: Any) -> "pyarrow.Array":
    """The `record_id` of each row: of a kind and of one value of each column.

    Args:
        kind: First part of every id.
        parts: Columns of text (Arrow, chunked or not) without nulls, `[rows]` each.

    Returns:
        Ids, `[rows]`.
    """
    import pyarrow
    from pyarrow import compute

    first, between = (pyarrow.scalar(each, pyarrow.binary()) for each in (framed(kind), b""))
    columns = map(framed_values, parts)
    digests = _digests(compute.binary_join_element_wise(first, *columns, between))
    return pyarrow.array([digest.hex()[:32] for digest in digests], pyarrow.string())


def framed_values(column: Any) -> "pyarrow.Array":
    """Each value of a column of text without nulls as it enters a record's id: see `framed`."""
    import pyarrow
    from pyarrow import compute

    values = _whole(column).cast(pyarrow.binary())
    lengths = compute.binary_length(values).to_numpy(zero_copy_only=False)
    frames = pyarrow.FixedSizeBinaryArray.from_buffers(
        pyarrow.binary(8), len(lengths), [None, pyarrow.py_buffer(lengths.astype(">u8"))]
    )
    between = pyarrow.scalar(b"", pyarrow.binary())
    return compute.binary_join_element_wise(frames.cast(pyarrow.binary()), values, between)


def derived_seeds(seed: int, purpose: str, names: Any) -> "npt.NDArray[np.uint64]":
    """`derive_seed(seed, purpose, name)` for each name of a column, `[rows]`."""
    import pyarrow
    from pyarrow import compute

    prefix = pyarrow.scalar("\x1f".join((str(seed), purpose)).encode(), pyarrow.binary())
    between = pyarrow.scalar(b"\x1f", pyarrow.binary())
    texts = compute.binary_join_element_wise(prefix, _whole(names).cast(pyarrow.binary()), between)
    words = np.frombuffer(b"".join(_digests(texts)), ">u8")[::4]  # the first of a digest's four
    return words.astype(np.uint64) >> np.uint64(1)


def _whole(column: Any) -> "pyarrow.Array":
    """A column in one piece."""
    import pyarrow

    return column.combine_chunks() if isinstance(column, pyarrow.ChunkedArray) else column


def _digests(texts: "pyarrow.Array") -> list[bytes]:
    """The sha256 of each value of a binary column."""
    _, ends, content = texts.buffers()
    view = memoryview(content) if content is not None else memoryview(b"")
    offsets = np.frombuffer(ends, np.int32)[: len(texts) + 1].tolist() if len(texts) else []
    return [sha256(view[begin:end]).digest() for begin, end in pairwise(offsets)]
