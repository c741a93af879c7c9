"""Rows of a table that lies in a file: CSV, JSON, JSON lines or Parquet, row by row."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from components.evaluation.published.descriptions import Reading, value_of
from spavl.errors import InputError

Rows = Iterator[tuple[int, Any]]
"""Rows by number, the first is 1; what is no row of columns is None."""
REMEDY = "give the published file, or correct the description"


def rows_of_table(path: Path, reading: Reading) -> Rows:
    """The rows that a reading keeps, one to each value of the column that `each` names.

    Raises:
        InputError: If the file is no table, or one of its columns is missing.
    """
    reader = _READERS.get(path.suffix.casefold())
    if reader is None:
        known = ", ".join(_READERS)
        raise InputError(f"no table: a file other than {known}", str(path), REMEDY)
    for number, row in reader(path, reading):
        for one in _each(row, reading.each):
            if not isinstance(one, dict) or _kept(one, reading):
                yield number, one if isinstance(one, dict) else None


def _each(row: Any, column: str | None) -> Iterator[Any]:
    if column is None or not isinstance(row, dict):
        yield row
        return
    values = value_of(row, column)
    for value in values if isinstance(values, list) else [values]:
        yield {**row, **value} if isinstance(value, dict) else {**row, column: value}


def _kept(row: dict[str, Any], reading: Reading) -> bool:
    for column, wanted in reading.keep.items():
        found = value_of(row, column)
        if wanted == "*" and found not in (None, ""):
            continue
        among = wanted if isinstance(wanted, list) else [wanted]
        if found not in among and str(found) not in map(str, among):
            return False
    return True


def _csv(path: Path, reading: Reading) -> Rows:
    csv.field_size_limit(sys.maxsize)
    number = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            _require(reader.fieldnames or (), path, reading)
            for number, row in enumerate(reader, 1):
                yield number, row
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"no CSV: {error}", f"{path}, row {number + 1}", REMEDY) from None


def _json_lines(path: Path, reading: Reading) -> Rows:
    with path.open("rb") as stream:
        for number, line in enumerate(filter(bytes.strip, stream), 1):
            try:
                yield number, json.loads(line)
            except ValueError:
                yield number, None


def _json(path: Path, reading: Reading) -> Rows:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"no JSON: {error}", str(path), REMEDY) from None
    found = value_of(content, reading.rows) if reading.rows else content
    if not isinstance(found, list):
        what = f"no list of rows under {reading.rows!r}" if reading.rows else "no list of rows"
        raise InputError(what, str(path), REMEDY)
    return iter(enumerate(found, 1))


def _parquet(path: Path, reading: Reading) -> Rows:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            _require(file.schema_arrow.names, path, reading)
            for batch in file.iter_batches(batch_size=64):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        said = " ".join(str(error).split())[:120]
        raise InputError(f"no Parquet: {said}", f"{path}, row {number + 1}", REMEDY) from None


def _require(columns: Any, path: Path, reading: Reading) -> None:
    """A table with a head says which columns it has; rows of JSON each have their own."""
    if reading.each:
        return
    for name in sorted(reading.columns):
        if name not in columns:
            has = ", ".join(map(str, columns))[:160]
            raise InputError(f"no column {name!r}", str(path), f"{REMEDY}; it has {has}")


_READERS: dict[str, Callable[[Path, Reading], Rows]] = {
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".json": _json,
    ".parquet": _parquet,
}
