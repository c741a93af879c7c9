"""Tables of pictures to fetch: CSV, JSON lines or Parquet, with LAION's columns among others."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spavl.errors import InputError
from spavl.storable import as_bytes, read_json, text_of

ADDRESS_COLUMNS = ("url", "URL")
CAPTION_COLUMNS = ("caption", "CAPTION", "text", "TEXT")
LONGEST_LINE = 2**20
LONGEST_FIELD = 2**24
BATCH_ROWS = 1024


class Listed(NamedTuple):
    """A row of a table: a picture's address and its caption, which may be empty."""

    address: str
    caption: str


def read_addresses(table: Path) -> Iterator[str]:
    """The addresses of a table; see `read_listed`."""
    return (listed.address for listed in read_listed(table))


def read_listed(table: Path) -> Iterator[Listed]:
    """The addresses and captions of a table, in its order; memory does not grow with rows.

    Args:
        table: `.csv`, `.jsonl` or `.parquet` with a column `url` or `URL` and, where there are
            captions, one of `CAPTION_COLUMNS`; other columns may be.

    Raises:
        InputError: The file is no such table; the message names the row.
    """
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".parquet": _parquet_rows}
    reader = readers.get(table.suffix.lower())
    if reader is None:
        raise InputError(
            f"no table of addresses by its name: {table.suffix or 'no ending'}",
            str(table),
            f"give a file that ends in {', '.join(readers)}",
        )
    if not table.is_file():
        raise InputError("no such file", str(table), "correct collection.addresses")
    for row in reader(table):
        # What is no text is no address: the row is set aside as such, and the others go on.
        yield Listed(_first(row, ADDRESS_COLUMNS), _first(row, CAPTION_COLUMNS))


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str:
    return text_of(next((row[name] for name in names if name in row), None))


def _csv_rows(table: Path) -> Iterator[Mapping[str, Any]]:
    csv.field_size_limit(LONGEST_FIELD)
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            _require_column(reader.fieldnames or (), table)
            yield from reader
    except csv.Error as error:
        if "field larger" in str(error):
            raise InputError(
                "a field above 16 MiB", f"{table}:{reader.line_num + 1}", "shorten or remove it"
            ) from None
        raise InputError(f"not a CSV in UTF-8: {error}", str(table), "save it as such") from None
    except UnicodeDecodeError as error:
        raise InputError(f"not a CSV in UTF-8: {error}", str(table), "save it as such") from None


def _json_rows(table: Path) -> Iterator[Mapping[str, Any]]:
    named = set[str]()
    number = 0
    with table.open("rb") as stream:
        while line := stream.readline(LONGEST_LINE):
            number += 1
            place = f"{table}:{number}"
            if not line.strip():
                continue
            try:
                row = read_json(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise InputError("no JSON object", place, "give one object a line, below 1 MiB")
            named.update(name for name in ADDRESS_COLUMNS if name in row)
            yield row
    if number:
        _require_column(named, table)


def _parquet_rows(table: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(table) as file:
            _require_column(file.schema_arrow.names, table)
            wanted = (*ADDRESS_COLUMNS, *CAPTION_COLUMNS)
            columns = [name for name in wanted if name in file.schema_arrow.names]
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                values = (as_bytes(column).to_pylist() for column in batch.columns)
                for cells in zip(*values, strict=True):
                    yield dict(zip(batch.schema.names, cells, strict=True))
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"not a Parquet file: {error}", str(table), "save it as such") from None


def _require_column(names: Any, table: Path) -> None:
    if not any(name in names for name in ADDRESS_COLUMNS):
        raise InputError(
            "column url missing", str(table), "name the column of addresses url or URL"
        )
