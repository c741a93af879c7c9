"""Files of the published layout: JSON beside a folder of pictures, or Parquet with pictures."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spavl.addresses import require_known
from spavl.errors import InputError
from spavl.published.pictures import NAMES, BadRowError, picture_column, picture_of
from spavl.published.rows import COLUMNS, TEXTS, Row, Split
from spavl.shards import sync_file
from spavl.storable import as_bytes, text_of

if TYPE_CHECKING:
    import pyarrow

Form = Literal["json", "parquet"]
PICTURES = "images"
ROWS_AT_ONCE = 64
NOT_UTF_8 = object()
BATCH_BYTES = 256 * 2**20
CHUNK = 2**16
LONGEST_ROW = 64 * 2**20


def local_folder(place: str) -> Path:
    """The folder of a published data set; one of the hub (`hub:owner/name`) is fetched.

    Raises:
        InputError: There is no such folder, or the hub does not give it.
    """
    if not place.startswith("hub:"):
        folder = Path(require_known(place, "address").removeprefix("file://"))
        if not folder.is_dir():
            raise InputError("no such folder", place, "give a published data set's folder")
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(place.removeprefix("hub:"), repo_type="dataset"))
    except Exception as error:  # the hub's errors, the network's, and those of its own cache
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"the hub does not give it: {reason}", place, "fetch it yourself and give its folder"
        ) from None


def files_of(folder: Path, split: Split) -> list[Path]:
    """The files of a split: `train.json`, `train.parquet` or `train-00000-of-00008.parquet`,
    in the folder or one below.
    """
    patterns = (f"{split}.json", f"{split}.parquet", f"{split}-*.parquet")
    return sorted(
        path
        for pattern in patterns
        for depth in ("", "*/")
        for path in folder.glob(depth + pattern)
    )


def read_rows(path: Path, split: Split) -> Iterator[Row | BadRowError]:
    """The rows of a file, in order, and why others are none; memory does not grow with their
    number.

    Raises:
        InputError: The file is broken, or holds no column of pictures.
    """
    read = _read_parquet if path.suffix == ".parquet" else _json_rows
    for cells in read(path):
        try:
            yield _row(cells, split, path)
        except BadRowError as bad:
            yield bad


def _row(cells: Mapping[str, Any], split: Split, path: Path) -> Row:
    name, content = picture_of(cells[picture_column(list(cells), path)], path)
    texts = {name: _text(cells, name) for name in TEXTS}
    if missing := [name for name in _needed(split) if texts[name] is None]:
        raise BadRowError(f"no {missing[0]} in this row")
    named = cells.get("image_name")
    if isinstance(named, int) and not isinstance(named, bool):
        named = str(named) if named else None
    if not isinstance(named, str | bytes | None):
        raise BadRowError("an image_name that is no text")
    return Row(content, text_of(named) or text_of(name) or "picture", **texts)  # type: ignore[arg-type]


def _text(cells: Mapping[str, Any], name: str) -> str | None:
    text = cells.get(name)
    if not isinstance(text, str | bytes | None):
        raise BadRowError("a column that is no text", name)
    return text_of(text) if text or name in ("question", "chosen", "rejected") else None


def _needed(split: Split) -> list[str]:
    return [name for name in ("question", "chosen", "rejected") if name in COLUMNS[split]]


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            found = file.schema_arrow.names
            wanted = {picture_column(found, path), "image_name", *TEXTS}
            columns = [name for name in found if name in wanted]
            for group in range(file.num_row_groups):
                rows = _rows_at_once(file.metadata.row_group(group))
                for batch in file.iter_batches(rows, [group], columns):
                    yield from _cells(batch)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"not a Parquet file: {error}", str(path), "fetch it again") from None


def _cells(batch: "pyarrow.RecordBatch") -> Iterator[dict[str, Any]]:
    """Rows whose texts may be bytes, as Arrow does not look whether they are UTF-8."""
    columns = [
        column if name in NAMES else as_bytes(column)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    for place in range(batch.num_rows):
        cells = (_cell(column[place]) for column in columns)
        yield dict(zip(batch.schema.names, cells, strict=True))


def _cell(scalar: "pyarrow.Scalar") -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return NOT_UTF_8


def _rows_at_once(group: Any) -> int:
    """Rows that fit into memory, however often a value of the group's dictionaries is repeated."""
    largest = max(
        (group.column(place).total_uncompressed_size for place in range(group.num_columns)),
        default=0,
    )
    return min(ROWS_AT_ONCE, max(1, BATCH_BYTES // max(largest, 1)))


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON array, a bounded part of the file at a time."""
    decoder, text = json.JSONDecoder(), ""
    with path.open(encoding="utf-8-sig") as stream:
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
                    yield dict(row)
                    text = text[end:]
                    if text.startswith("]"):
                        return
        except RecursionError:
            raise InputError("rows nested too deep", str(path), "give plain rows") from None
        except (ValueError, TypeError) as error:
            raise InputError(f"no JSON of rows: {error}", str(path), "fetch it again") from None
    if text.strip(" \t\r\n]"):
        raise InputError("no JSON of rows: it ends early", str(path), "fetch it again")


def write_rows(folder: Path, split: Split, rows: Iterable[Row], form: Form) -> int:
    """Writes a split's file, if there is any row; gives their number."""
    return {"json": _write_json, "parquet": _write_parquet}[form](folder, split, rows)


def _write_json(folder: Path, split: Split, rows: Iterable[Row]) -> int:
    pictures = folder / PICTURES
    pictures.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{split}.json.tmp"
    count = 0
    with temporary.open("w", encoding="utf-8") as stream:
        for row in rows:
            picture = pictures / row.image_name
            if not picture.exists():
                picture.write_bytes(row.content)
            columns = _columns(row, split, f"{PICTURES}/{row.image_name}")
            stream.write(("[\n" if count == 0 else ",\n") + json.dumps(columns, ensure_ascii=False))
            count += 1
        stream.write("\n]\n" if count else "")
    return _keep(temporary, count)


def _write_parquet(folder: Path, split: Split, rows: Iterable[Row]) -> int:
    import pyarrow
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{split}-00000-of-00001.parquet.tmp"
    schema = _schema(split)
    pending: list[dict[str, Any]] = []
    count = 0
    with parquet.ParquetWriter(temporary, schema) as writer:
        for row in rows:
            pending.append(_columns(row, split, {"bytes": row.content, "path": row.image_name}))
            count += 1
            if len(pending) == ROWS_AT_ONCE:
                writer.write_table(pyarrow.Table.from_pylist(pending, schema))
                pending.clear()
        writer.write_table(pyarrow.Table.from_pylist(pending, schema))
    return _keep(temporary, count)


def _keep(temporary: Path, count: int) -> int:
    """Give a whole file its name; one without rows goes."""
    if count:
        sync_file(temporary)
        temporary.rename(temporary.with_suffix(""))
    else:
        temporary.unlink()
    return count


def _columns(row: Row, split: Split, image: object) -> dict[str, Any]:
    return {name: image if name == "image" else getattr(row, name) for name in COLUMNS[split]}


def _schema(split: Split) -> Any:
    """Text columns and a picture, as `datasets` knows it by the metadata."""
    import pyarrow

    picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    features: dict[str, Any] = {
        name: {"dtype": "string", "_type": "Value"} for name in COLUMNS[split]
    }
    features["image"] = {"_type": "Image"}
    return pyarrow.schema(
        [(name, picture if name == "image" else pyarrow.string()) for name in COLUMNS[split]],
        {"huggingface": json.dumps({"info": {"features": features}})},
    )
