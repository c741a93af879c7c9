"""Files of a published data set, written: JSON or JSON lines beside pictures, or Parquet."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from spavl.published.layouts import SPA_VL, Layout
from spavl.published.rows import COLUMNS, Row
from spavl.shards import sync_file

Form = Literal["json", "jsonl", "parquet"]
PICTURES = "images"
ROWS_AT_ONCE = 64
EXAMPLE = Row(b"x", "x", *("x",) * 8)
"""A row of which every column is known, by which a layout's columns get their types."""


def write_rows(
    folder: Path, split: str, rows: Iterable[Row], form: Form, layout: Layout = SPA_VL
) -> int:
    """Writes a split's file, if there is any row; gives their number."""
    folder.mkdir(parents=True, exist_ok=True)
    write = _write_parquet if form == "parquet" else _write_json
    temporary = folder / f"{_name(split, form)}.tmp"
    count = write(temporary, rows, _Writing(split, form, layout))
    if count:
        sync_file(temporary)
        temporary.rename(temporary.with_suffix(""))
    else:
        temporary.unlink()
    return count


def _name(split: str, form: Form) -> str:
    return f"{split}-00000-of-00001.parquet" if form == "parquet" else f"{split}.{form}"


class _Writing:
    """What every row of a file has in common."""

    def __init__(self, split: str, form: Form, layout: Layout) -> None:
        self.form = form
        self._layout = layout
        # Columns of the published layout differ from split to split; messages leave out nothings.
        by_split = {str(each): columns for each, columns in COLUMNS.items()}
        self._columns = by_split.get(split) if layout is SPA_VL else None

    def cells(self, row: Row, picture: object, number: int) -> dict[str, Any]:
        cells = self._layout.write(row, picture, number)
        if self._columns:
            return {name: cells[name] for name in self._columns}
        if self.form == "parquet":
            return cells
        return {name: _without_nothings(cell) for name, cell in cells.items()}


def _without_nothings(value: Any) -> Any:
    match value:
        case list():
            return [_without_nothings(each) for each in value]
        case dict():
            return {
                name: _without_nothings(each) for name, each in value.items() if each is not None
            }
    return value


def _write_json(temporary: Path, rows: Iterable[Row], writing: _Writing) -> int:
    pictures = temporary.parent / PICTURES
    pictures.mkdir(exist_ok=True)
    first, between, last = ("", "\n", "\n") if writing.form == "jsonl" else ("[\n", ",\n", "\n]\n")
    count = 0
    with temporary.open("w", encoding="utf-8") as stream:
        for row in rows:
            picture = pictures / row.image_name
            if not picture.exists():
                picture.write_bytes(row.content)
            cells = writing.cells(row, f"{PICTURES}/{row.image_name}", count)
            stream.write((between if count else first) + json.dumps(cells, ensure_ascii=False))
            count += 1
        stream.write(last if count else "")
    return count


def _write_parquet(temporary: Path, rows: Iterable[Row], writing: _Writing) -> int:
    import pyarrow
    from pyarrow import parquet

    example = writing.cells(EXAMPLE, {"bytes": b"x", "path": "x"}, 0)
    schema = pyarrow.Table.from_pylist([_typed(example)]).schema
    features = {field.name: _feature(field.type) for field in schema}
    told = json.dumps({"info": {"features": features}})
    schema = schema.with_metadata({"huggingface": told})
    pending: list[dict[str, Any]] = []
    count = 0
    with parquet.ParquetWriter(temporary, schema) as writer:
        for row in rows:
            picture = {"bytes": row.content, "path": row.image_name}
            pending.append(writing.cells(row, picture, count))
            count += 1
            if len(pending) == ROWS_AT_ONCE:
                writer.write_table(pyarrow.Table.from_pylist(pending, schema))
                pending.clear()
        writer.write_table(pyarrow.Table.from_pylist(pending, schema))
    return count


def _typed(value: Any) -> Any:
    """Nothing as text: only the text beside a picture in a message is nothing in an example."""
    match value:
        case None:
            return "x"
        case list():
            return [_typed(each) for each in value]
        case dict():
            return {name: _typed(each) for name, each in value.items()}
    return value


def _feature(kind: Any) -> Any:
    """A column as the hub's library `datasets` describes it."""
    from pyarrow import types

    if types.is_struct(kind):
        fields = {field.name: _feature(field.type) for field in kind}
        return {"_type": "Image"} if [*fields] == ["bytes", "path"] else fields
    if types.is_list(kind):
        return {"_type": "List", "feature": _feature(kind.value_type)}
    return {"_type": "Value", "dtype": str(kind)}
