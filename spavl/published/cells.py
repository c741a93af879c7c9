"""Rows as they stand in JSON, JSON lines and Parquet, in bounded memory whatever a file claims."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spavl.errors import InputError
from spavl.folders import NoRegularFileError, open_regular
from spavl.published.layouts import Cells, Shape
from spavl.published.pages import require_small_pages
from spavl.published.pictures import MOST_BYTES, NAMES, TOO_LARGE
from spavl.storable import as_bytes

if TYPE_CHECKING:
    import pyarrow

ROWS_AT_ONCE = 64
LOOKED_AT = 16
"""Rows of JSON whose columns tell a layout."""
NOT_UTF_8 = object()
BATCH_BYTES = 256 * 2**20
LARGEST_VALUE = MOST_BYTES + 2**20
"""No picture that is used is larger, nor any text; one that stands alone is then not copied."""
BUFFER = 2**20
CHUNK = 2**16
LONGEST_ROW = 64 * 2**20


def shape_of(path: Path) -> Shape:
    """A file's columns, and what they hold.

    Raises:
        InputError: It is broken, or holds no rows.
    """
    if path.suffix == ".parquet":
        return _schema_shape(path)
    shape: dict[str, str] = {}
    for row, _ in zip(_objects(path), range(LOOKED_AT), strict=False):
        for name, value in row.items() if isinstance(row, dict) else ():
            shape[name] = shape.get(name) or _kind_of(value)
    return shape


def schema_of(path: Path) -> Shape:
    """A file's columns as a description names them: `text`, `number`, `truth`, `picture`, or what
    `shape_of` says.

    Raises:
        InputError: It is broken, or holds no rows.
    """
    from pyarrow import parquet, types

    shape = dict(shape_of(path))
    if path.suffix != ".parquet":
        rows = (row for row, _ in zip(_objects(path), range(LOOKED_AT), strict=False))
        known = {name: value for row in rows for name, value in row.items() if value is not None}
        plain = {bool: "truth", int: "number", type(None): "text"}
        return {name: kind or plain[type(known.get(name))] for name, kind in shape.items()}
    for field in parquet.read_schema(path):
        if types.is_integer(field.type) or types.is_boolean(field.type):
            shape[field.name] = "truth" if types.is_boolean(field.type) else "number"
        if types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
            shape[field.name] = "picture"
    return shape


def read_cells(path: Path, columns: Sequence[str]) -> Iterator[Cells | None]:
    """The rows, as far as these columns go; None for what is no row.

    Raises:
        InputError: The file is broken.
    """
    if path.suffix == ".parquet":
        yield from _parquet_rows(path, columns)
        return
    for row in _objects(path):
        yield row if isinstance(row, dict) else None


def opened(path: Path) -> io.BufferedReader:
    """A regular file, or a link to one, as the hub's cache has them.

    Raises:
        InputError: It is anything else: a pipe would never end.
    """
    try:
        return open_regular(path.resolve())
    except NoRegularFileError as error:
        found = str(error).partition(",")[0]
        raise InputError(f"{found} in the place of rows", str(path), "give a file") from None
    except OSError as error:
        raise InputError(f"no readable file: {error.strerror}", str(path), "mend it") from None


def _kind_of(value: Any) -> str:
    match value:
        case str():
            return "text"
        case list():
            return "list"
        case Mapping():
            return "struct"
    return ""


def _schema_shape(path: Path) -> Shape:
    import pyarrow
    from pyarrow import parquet

    try:
        with opened(path) as stream, parquet.ParquetFile(stream) as file:
            schema = file.schema_arrow
            return {str(field.name): _kind_of_type(field.type) for field in schema}
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"not a Parquet file: {error}", str(path), "fetch it again") from None


def _kind_of_type(kind: "pyarrow.DataType") -> str:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if types.is_list(kind) or types.is_large_list(kind) or types.is_list_view(kind):
        return "list"
    return "struct" if types.is_struct(kind) else ""


def _parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[Cells]:
    import pyarrow
    from pyarrow import parquet

    try:
        with opened(path) as stream, parquet.ParquetFile(stream, buffer_size=BUFFER) as file:
            wanted = [name for name in file.schema_arrow.names if name in columns]
            for number in range(file.num_row_groups):
                group = file.metadata.row_group(number)
                largest = require_small_pages(stream, group, wanted, path)
                rows = min(ROWS_AT_ONCE, max(1, BATCH_BYTES // max(largest, 1)))
                for batch in file.iter_batches(rows, [number], wanted):
                    yield from _cells(batch)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"not a Parquet file: {error}", str(path), "fetch it again") from None


def _cells(batch: "pyarrow.RecordBatch") -> Iterator[Cells]:
    """Rows whose texts may be bytes, as Arrow does not look whether they are UTF-8."""
    columns = [
        column if name in NAMES else as_bytes(column)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    alone = batch.num_rows == 1
    for place in range(batch.num_rows):
        cells = (
            TOO_LARGE if alone and column.nbytes > LARGEST_VALUE else _cell(column[place])
            for column in columns
        )
        yield dict(zip(batch.schema.names, cells, strict=True))


def _cell(scalar: "pyarrow.Scalar") -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return NOT_UTF_8


def _objects(path: Path) -> Iterator[Any]:
    """The values of a JSON array, or of lines, a bounded part of the file at a time."""
    decoder, text = json.JSONDecoder(), ""
    with io.TextIOWrapper(opened(path), encoding="utf-8-sig") as stream:
        try:
            while chunk := stream.read(max(CHUNK, len(text))):  # a long row is not read anew
                text += chunk
                if len(text) > LONGEST_ROW:
                    raise InputError("a row above 64 MiB", str(path), "shorten or remove it")
                while text := text.lstrip(" \t\r\n[,"):
                    try:
                        row, end = decoder.raw_decode(text)
                    except ValueError:
                        break  # its end is not read yet
                    yield row
                    text = text[end:]
                    if text.startswith("]"):
                        return
        except RecursionError:
            raise InputError("rows nested too deep", str(path), "give plain rows") from None
        except ValueError as error:
            raise InputError(f"no JSON of rows: {error}", str(path), "fetch it again") from None
    if text.strip(" \t\r\n]"):
        raise InputError("no JSON of rows: it ends early", str(path), "fetch it again")
