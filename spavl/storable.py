"""Text and numbers from outside, made storable: what UTF-8, Parquet and JSON can hold, or nothing.

Every reader of what others made goes through here: answers of endpoints, headers of web hosts,
cells of tables, rows of published data. Nothing here fails but `read_json`, by one error.
"""

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow

MARK = "\ufffd"
"""Stands where something was that cannot be stored."""
LARGEST_COUNT = 2**31
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_UNSTORABLE = re.compile("[\ud800-\udfff\x00]")
DEEPEST = 100
"""Nesting of JSON beyond it is nobody's data."""


def text_of(value: object, changed: Counter[str] | None = None) -> str:
    """A value as text that can be stored.

    Halves of surrogate pairs that stand together become their letter; what is left of them, NUL and
    bytes that are no UTF-8 become U+FFFD.

    Args:
        value: Text or bytes; of any other type the text is empty.
        changed: Told how many texts had to be changed, as `changed texts`.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        raw = bytes(value).decode("utf-8", "surrogateescape")
    elif isinstance(value, str):
        raw = value
    else:
        return ""
    if not _UNSTORABLE.search(raw):
        return raw
    whole = _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), raw)
    storable = _UNSTORABLE.sub(MARK, whole)
    if changed is not None and storable != whole:
        changed["changed texts"] += 1
    return storable


def count_of(value: object) -> int:
    """A whole number from 0 below 2**31; 0 for whatever else was said."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    if not 0 <= value < LARGEST_COUNT or value != int(value):
        return 0
    return int(value)


def read_json(content: bytes | str, changed: Counter[str] | None = None) -> Any:
    """Reads JSON whose every text and number can be stored.

    Numbers that are not finite are read as null, texts and keys as by `text_of`.

    Args:
        content: JSON in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.
        changed: See `text_of`.

    Raises:
        ValueError: It is no JSON, or nested deeper than `DEEPEST`.
    """
    if isinstance(content, bytes):
        content = content.decode(json.detect_encoding(content), "replace")
    try:
        raw = json.loads(content.removeprefix("\ufeff"), parse_constant=lambda _: None)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return _storable(raw, changed, 0)


def _storable(value: Any, changed: Counter[str] | None, depth: int) -> Any:
    if depth > DEEPEST:
        raise ValueError("nested too deep")
    match value:
        case str():
            return text_of(value, changed)
        case list():
            return [_storable(each, changed, depth + 1) for each in value]
        case dict():
            return {
                text_of(key, changed): _storable(each, changed, depth + 1)
                for key, each in value.items()
            }
        case float() if value - value != 0:  # infinite, as of 1e999
            return None
    return value


def as_bytes(column: "pyarrow.Array") -> "pyarrow.Array":
    """A column whose texts may be none: Arrow does not look whether they are UTF-8."""
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pyarrow.types.is_string(kind) or pyarrow.types.is_string_view(kind):
        return column.cast(pyarrow.binary())
    return column.cast(pyarrow.large_binary()) if pyarrow.types.is_large_string(kind) else column
