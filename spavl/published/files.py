"""Files of the published layout: JSON beside a folder of pictures, or Parquet with pictures."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from spavl.addresses import require_known
from spavl.errors import InputError
from spavl.published.rows import COLUMNS, TEXTS, Row, Split
from spavl.shards import sync_file
from spavl.storable import text_of

Form = Literal["json", "parquet"]
PICTURES = "images"
ROWS_AT_ONCE = 64
CHUNK = 2**16


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


def read_rows(path: Path, split: Split) -> Iterator[Row]:
    """The rows of a file, in order; memory does not grow with their number.

    Raises:
        InputError: The file is broken, lacks a column or names a picture that is not there.
    """
    read = _read_parquet if path.suffix == ".parquet" else _read_json
    for number, row in enumerate(read(path)):
        where = f"{path}, row {number}"
        missing = [name for name in ("image", *_needed(split)) if row.get(name) is None]
        if missing:
            raise InputError(f"no {missing[0]} in this row", where, "correct or remove this row")
        name, content = row["image"]
        texts = {name: _storable(row.get(name)) or None for name in TEXTS}
        if not all(isinstance(text, str | None) for text in texts.values()):
            raise InputError("a column that is no text", where, "correct or remove this row")
        name = _storable(row.get("image_name")) or name
        if not isinstance(name, str | int) or isinstance(name, bool):
            raise InputError("an image_name that is no text", where, "correct or remove this row")
        yield Row(content, str(name), **{**texts, "question": _storable(row["question"])})


def _storable(value: Any) -> Any:
    return text_of(value) if isinstance(value, str) else value


def _needed(split: Split) -> list[str]:
    return [name for name in ("question", "chosen", "rejected") if name in COLUMNS[split]]


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    image = row.get("image")
                    if not isinstance(image, Mapping) or not image.get("bytes"):
                        row["image"] = None
                    else:
                        row["image"] = Path(image.get("path") or "").name, image["bytes"]
                    yield row
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"not a Parquet file: {error}", str(path), "fetch it again") from None


def _read_json(path: Path) -> Iterator[dict[str, Any]]:
    for row in _json_rows(path):
        if (name := row.get("image")) is not None:
            row["image"] = _picture(path, str(name))
        yield row


def _picture(path: Path, name: str) -> tuple[str, bytes]:
    """The file name and content of a picture that a file's row names."""
    try:
        picture = (path.parent / name).resolve()
        if picture.is_relative_to(path.parent.resolve()) and picture.is_file():
            return picture.name, picture.read_bytes()
    except (OSError, ValueError):  # ValueError: a byte that no name can hold
        pass
    raise InputError(f"no picture {name!r}", str(path), "pictures lie beside the file")


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON array, a bounded part of the file at a time."""
    decoder, text = json.JSONDecoder(), ""
    with path.open(encoding="utf-8-sig") as stream:
        try:
            while chunk := stream.read(CHUNK):
                text += chunk
                while text := text.lstrip(" \t\r\n[,"):
                    try:
                        row, end = decoder.raw_decode(text)
                    except ValueError:
                        break  # its end is not read yet
                    yield dict(row)
                    text = text[end:]
                    if text.startswith("]"):
                        return
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
