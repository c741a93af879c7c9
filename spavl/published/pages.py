"""The headers of a Parquet file's pages, read before anything is unpacked.

What the file says of a column is not asked: a page is unpacked into as many bytes as its own header
says. Headers are Thrift structs in its compact protocol
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md); the first three
fields of Parquet's `PageHeader` are its kind, its size unpacked and its size in the file.
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spavl.errors import InputError

LARGEST_PAGE = 288 * 2**20
"""Three times this may be held: a page, and twice the one value that it may be."""
USUAL, HEADER = 2**9, 2**16
"""What a header takes, and the most: statistics of a page may hold values."""
DEEPEST = 8
UNPACKED, PACKED = 2, 3


def require_small_pages(
    stream: io.BufferedReader, group: Any, columns: Sequence[str], path: Path
) -> int:
    """What the largest pages of these columns take together in a row group, in bytes unpacked.

    Raises:
        InputError: They would not fit into memory, or a page's header is broken.
    """
    place, together = stream.tell(), 0
    try:
        for number in range(group.num_columns):
            chunk = group.column(number)
            if chunk.path_in_schema.partition(".")[0] in columns:
                together += max(_sizes(stream, chunk), default=0)
    except (IndexError, ValueError, OSError):
        raise InputError("not a Parquet file: a broken page", str(path), "fetch it again") from None
    finally:
        stream.seek(place)
    if together > LARGEST_PAGE:
        remedy = f"write it in row groups of fewer rows, below {LARGEST_PAGE // 2**20} MiB a page"
        raise InputError(f"a page of {together // 2**20} MiB", str(path), remedy)
    return together


def _sizes(stream: io.BufferedReader, chunk: Any) -> Iterator[int]:
    """The unpacked size of each page of a column's chunk."""
    begin = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:
        begin = min(begin, chunk.dictionary_page_offset)
    end = begin + chunk.total_compressed_size
    while begin < end:
        header, fields = _read_header(stream, begin)
        unpacked, packed = fields.get(UNPACKED, -1), fields.get(PACKED, -1)
        if unpacked < 0 or packed < 0:
            raise ValueError("a page without its size")
        yield unpacked
        begin += header.place + packed


def _read_header(stream: io.BufferedReader, place: int) -> "tuple[_Header, dict[int, int]]":
    """A page's header, of as little of the file as holds it."""
    for size in (USUAL, HEADER):
        stream.seek(place)
        header = _Header(stream.read(size))
        try:
            return header, header.struct(0)
        except IndexError:
            if size == HEADER:
                raise
    raise AssertionError


class _Header:
    """Reads a struct; of its fields only whole numbers are kept.

    Raises:
        IndexError: It ends early.
        ValueError: It is nested too deep, or of an unknown type.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.place = 0

    def struct(self, depth: int) -> dict[int, int]:
        """A struct's whole numbers by field."""
        fields: dict[int, int] = {}
        number = 0
        while (first := self._byte()) & 15:  # 0 ends a struct
            number = number + (first >> 4) if first >> 4 else self._signed()
            value = None if first & 15 <= 2 else self._value(first & 15, depth)  # 1, 2 are truths
            if value is not None:
                fields[number] = value
        return fields

    def _value(self, kind: int, depth: int) -> int | None:
        if depth > DEEPEST:
            raise ValueError("nested too deep")
        match kind:
            case 1 | 2 | 3:  # a truth in a list, a byte
                return self._byte()
            case 4 | 5 | 6:  # whole numbers
                return self._signed()
            case 7:  # a floating-point number
                self.place += 7
                self._byte()
            case 8:  # text
                length = self._unsigned()
                self.place += length
            case 9 | 10:  # a list or set
                first = self._byte()
                for _ in range(self._unsigned() if first >> 4 == 15 else first >> 4):
                    self._value(first & 15, depth + 1)
            case 12:  # a struct
                self.struct(depth + 1)
            case _:
                raise ValueError(f"type {kind}")
        return None

    def _byte(self) -> int:
        self.place += 1
        return self._content[self.place - 1]

    def _unsigned(self) -> int:
        """A number in groups of seven bits, the lowest first."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number without end")

    def _signed(self) -> int:
        value = self._unsigned()
        return value >> 1 ^ -(value & 1)
