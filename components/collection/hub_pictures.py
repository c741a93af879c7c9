"""Pictures of a data set of the Hugging Face hub, or of a folder with such a data set's files.

Read are Parquet files with a column of pictures as `datasets` stores them: a struct of bytes and
path. Like files of a folder, each becomes a picture or is set aside with a reason.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from components.collection.classes import PhotographClass
from components.collection.decoding import Unusable
from components.collection.photographs import Candidate, to_record
from components.collection.sandbox import Decoders
from spavl.errors import InputError
from spavl.published.files import local_folder
from spavl.records import SetAside
from spavl.settings.collection import CollectionSettings

if TYPE_CHECKING:
    import pyarrow

ROWS_AT_ONCE = 64


def hub_pictures(place: str, settings: CollectionSettings) -> Iterator[Candidate]:
    """The pictures, file by file and row by row.

    Args:
        place: `hub:owner/name`, or a folder.
        settings: Bounds on what is read and stored.

    Raises:
        InputError: There is no such data set, or no column of pictures in it.
    """
    folder = local_folder(place)
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise InputError("no Parquet files", place, "give a data set that holds its pictures")
    with Decoders(settings) as decoders:
        contents = (each for path in files for each in _contents(path, folder, settings.max_bytes))
        for name, outcome in decoders.decoded(contents):
            if isinstance(outcome, Unusable):
                yield SetAside(name, "collection", outcome.reason, outcome.detail)
            else:
                yield to_record(name, outcome, PhotographClass())


def _contents(path: Path, folder: Path, max_bytes: int) -> Iterator[tuple[str, bytes | Unusable]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            column = _picture_column(file.schema_arrow, path)
            number = 0
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=[column]):
                for row in batch.to_pylist():
                    name = f"{path.relative_to(folder)}, row {number}"
                    number += 1
                    yield name, _bytes(row[column], max_bytes)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"not a Parquet file: {error}", str(path), "fetch it again") from None


def _picture_column(schema: "pyarrow.Schema", path: Path) -> str:
    import pyarrow

    for field in schema:
        if pyarrow.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
            return str(field.name)
    raise InputError("no column of pictures", str(path), "give a data set that holds its pictures")


def _bytes(picture: dict[str, bytes | None] | None, max_bytes: int) -> bytes | Unusable:
    content = (picture or {}).get("bytes") or b""
    if not content:
        return Unusable("empty file", "no bytes in this row")
    if len(content) > max_bytes:
        return Unusable("too large", f"{len(content)} bytes, at most {max_bytes} are read")
    return content
