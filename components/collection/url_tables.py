"""Tables of pictures to fetch: CSV, JSON lines or Parquet, with LAION's columns among others."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spavl.errors import InputError

ADDRESS_COLUMNS = ("url", "URL")
CAPTION_COLUMNS = ("caption", "CAPTION", "text", "TEXT")
LONGEST_LINE = 2**20
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
    for place, row in reader(table):
        address = next((row[name] for name in ADDRESS_COLUMNS if name in row), None)
        if address is not None and not isinstance(address, str):
            raise InputError("the address is no text", place, "correct or remove this row")
        caption = next((row[name] for name in CAPTION_COLUMNS if name in row), None)
        yield Listed(address or "", caption if isinstance(caption, str) else "")


def _csv_rows(table: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            _require_column(reader.fieldnames or (), table)
            for row in reader:
                yield f"{table}:{reader.line_num}", row
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"not a CSV in UTF-8: {error}", str(table), "save it as such") from None


def _json_rows(table: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with table.open("rb") as stream:
        number = 0
        while line := stream.readline(LONGEST_LINE):
            number += 1
            place = f"{table}:{number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict):
                raise InputError("no JSON object", place, "give one object a line, below 1 MiB")
            _require_column(row, table, place)
            yield place, row


def _parquet_rows(table: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(table) as file:
            _require_column(file.schema_arrow.names, table)
            wanted = (*ADDRESS_COLUMNS, *CAPTION_COLUMNS)
            columns = [name for name in wanted if name in file.schema_arrow.names]
            number = 0
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{table}, row {number}", row
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"not a Parquet file: {error}", str(table), "save it as such") from None


def _require_column(names: Any, table: Path, place: str | None = None) -> None:
    if not any(name in names for name in ADDRESS_COLUMNS):
        raise InputError(
            "column url missing", place or str(table), "name the column of addresses url or URL"
        )
