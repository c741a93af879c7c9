"""Data sets on disk: Parquet shards and a manifest that commits them.

A data set is a folder of `part-00000.parquet`, ... and a `manifest.json` with the schema's name and
version, rows and sha256 of every shard, what made it and from which inputs. Shards are written
under a temporary name, fsynced and renamed; the manifest comes last, so a folder without one is
unfinished work and never data. Reading and writing stream: memory does not grow with rows.
"""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from spavl.ahead import ahead
from spavl.digests import file_digest, json_digest
from spavl.errors import CorruptShardError, InputError
from spavl.files import write_whole
from spavl.records import SCHEMA_VERSION, Image, SetAside, from_row, schema_of
from spavl.secrets import masked
from spavl.storable import read_json

if TYPE_CHECKING:
    import pyarrow

MANIFEST = "manifest.json"
ROWS_PER_SHARD = 4096
READ_BATCH_ROWS = 1024
WRITTEN_AT_ONCE = 1  # beside the one that is made: more would cost memory
PICTURES_PER_GROUP = 64  # a picture is read with its row group, so groups of pictures stay small

RecordType = TypeVar("RecordType")


@dataclass(frozen=True)
class Shard:
    """One Parquet file of a data set: its name, row count and sha256 (hex)."""

    name: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a data set holds and where it came from.

    Attributes:
        schema: Name of the record class.
        version: Version of the data contract.
        shards: The shards in order.
        made_by: What made the data set (stage, code digest, settings).
        inputs: Name to content digest of everything it was made from.
    """

    schema: str
    version: int
    shards: tuple[Shard, ...]
    made_by: dict[str, Any]
    inputs: dict[str, str]

    @property
    def digest(self) -> str:
        """Names the content alone: equal rows made twice need no later work twice."""
        shards = [[shard.rows, shard.sha256] for shard in self.shards]
        return json_digest([self.schema, self.version, shards])

    @property
    def rows(self) -> int:
        """Rows over all shards."""
        return sum(shard.rows for shard in self.shards)


class DatasetWriter:
    """Writes records into shards; leaving the `with` block without an error commits them."""

    def __init__(
        self,
        folder: Path | str,
        record: type,
        made_by: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
        rows_per_shard: int | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.record = record
        self.rows = 0
        self._made_by = dict(made_by or {})
        self._inputs = dict(inputs or {})
        self._rows_per_shard = rows_per_shard or ROWS_PER_SHARD
        self._pending: list[dict[str, Any]] = []
        self._tables: list[pyarrow.Table] = []
        self._waiting = 0
        self._shards: list[Shard] = []
        # Arrow and the digest let go of Python's lock: shards are written while the next is made.
        self._threads = ThreadPoolExecutor(WRITTEN_AT_ONCE, "shards")
        self._writing: list[Future[Shard]] = []

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.iterdir():
            if leftover.is_file():
                leftover.unlink()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._threads:
            if kind is None:
                self._commit()

    def add(self, record: object) -> None:
        """Add one record.

        Raises:
            TypeError: If it is not of the data set's record class.
        """
        if type(record) is not self.record:
            raise TypeError(f"{type(record).__name__} in a data set of {self.record.__name__}")
        self._pending.append(_to_row(record))
        self._took(1)

    def add_table(self, rows: "pyarrow.Table") -> None:
        """Add rows as columns, which are those of the data set's schema in any order.

        Shards are those that the same rows make when they are added one by one.
        """
        self._gather()
        schema = schema_of(self.record)
        if rows.schema != schema:
            rows = rows.select(schema.names).cast(schema)
        while rows.num_rows:
            piece = rows.slice(0, self._rows_per_shard - self._waiting)
            rows = rows.slice(piece.num_rows)
            self._tables.append(piece)
            self._took(piece.num_rows)

    def take_over(self, folder: Path, shard: Shard) -> None:
        """Add a whole shard of another data set of the same records, by hard link where possible.

        What waits is written first, so shards may then hold fewer rows than asked for.
        """
        if self._waiting:
            self._flush()
        self._finish(0)
        name = f"part-{len(self._shards):05d}.parquet"
        link_or_copy(str(folder / shard.name), str(self.folder / name))
        self._shards.append(dataclasses.replace(shard, name=name))
        self.rows += shard.rows

    def _took(self, rows: int) -> None:
        self.rows += rows
        self._waiting += rows
        if self._waiting >= self._rows_per_shard:
            self._flush()

    def _gather(self) -> None:
        """Make a table of the records that wait."""
        import pyarrow

        if self._pending:
            self._tables.append(pyarrow.Table.from_pylist(self._pending, schema_of(self.record)))
            self._pending.clear()

    def _flush(self) -> None:
        self._gather()
        self._finish(WRITTEN_AT_ONCE - 1)
        path = self.folder / f"part-{len(self._shards) + len(self._writing):05d}.parquet"
        job = self._threads.submit(_write_shard, self._tables, path, self.record)
        self._writing.append(job)
        self._tables, self._waiting = [], 0

    def _finish(self, still_writing: int) -> None:
        """Wait until no more shards than these are being written, which bounds memory."""
        while len(self._writing) > still_writing:
            self._shards.append(self._writing.pop(0).result())

    def _commit(self) -> None:
        if self._waiting:
            self._flush()
        self._finish(0)
        content = {
            "schema": self.record.__name__,
            "version": SCHEMA_VERSION,
            "rows": self.rows,
            "shards": [dataclasses.asdict(shard) for shard in self._shards],
            "made_by": self._made_by,
            "inputs": self._inputs,
        }
        write_json(self.folder / MANIFEST, content)


def read_manifest(folder: Path | str) -> Manifest:
    """Read a data set's manifest.

    Raises:
        InputError: If the folder holds no finished data set or one of a newer contract.
    """
    path = Path(folder) / MANIFEST
    try:
        manifest = _manifest(read_json(path.read_bytes()))
    except FileNotFoundError:
        raise InputError(
            "no finished data set", str(folder), "run the stage that writes it again"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptShardError(f"unreadable manifest: {error}", path) from error
    if manifest.version > SCHEMA_VERSION:
        raise InputError(
            f"data contract version {manifest.version}",
            str(path),
            f"this code reads up to {SCHEMA_VERSION}",
        )
    return manifest


def _manifest(content: dict[str, Any]) -> Manifest:
    """A manifest of JSON.

    Raises:
        KeyError: Something is missing.
        TypeError: Something is of another type.
        ValueError: A shard would lie elsewhere.
    """
    shards = tuple(Shard(**shard) for shard in content["shards"])
    names = ("schema", "version", "made_by", "inputs")
    schema, version, made_by, inputs = (content[name] for name in names)
    wanted = [(schema, str), (version, int), (made_by, dict), (inputs, dict)]
    for shard in shards:
        wanted += [(shard.name, str), (shard.rows, int), (shard.sha256, str)]
    for value, kind in wanted:
        if not isinstance(value, kind):
            raise TypeError(f"{str(value)[:40]} is no {kind.__name__}")
    if any(Path(shard.name).name != shard.name for shard in shards):
        raise ValueError("a shard's name that is no file's")
    return Manifest(schema, version, shards, made_by, inputs)


def read_records(
    folder: Path | str, record: type[RecordType], verify: bool = True
) -> Iterator[RecordType]:
    """Stream a data set's records in the order they were written.

    Args:
        folder: The data set.
        record: The record class it must hold.
        verify: Check every shard against its sha256 before its first row is given out.

    Raises:
        InputError: If the data set is unfinished or holds another record class.
        CorruptShardError: If a shard does not match its checksum; the message names the shard.
    """
    for row in read_rows(folder, record, None, verify):
        yield from_row(record, row)


def read_rows(
    folder: Path | str, record: type, columns: Sequence[str] | None, verify: bool = True
) -> Iterator[dict[str, Any]]:
    """Like `read_records`, but plain rows and only the columns asked for."""
    for batch in read_tables(folder, record, columns, verify):
        yield from batch.to_pylist()


def read_tables(
    folder: Path | str, record: type, columns: Sequence[str] | None = None, verify: bool = True
) -> Iterator["pyarrow.Table"]:
    """Like `read_rows`, but some rows at a time as columns."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    if manifest.schema != record.__name__:
        raise InputError(
            f"a data set of {manifest.schema}", str(folder), f"give one of {record.__name__}"
        )

    def checked() -> Iterator[Path]:
        for shard in manifest.shards:
            if verify:
                verify_shard(folder / shard.name, shard)
            yield folder / shard.name

    def tables() -> Iterator["pyarrow.Table"]:
        for shard in ahead(checked()):  # the next one's checksum while this one is read
            yield from read_shard(shard, record, columns)

    yield from ahead(tables())


def read_shard(
    path: Path, record: type, columns: Sequence[str] | None = None
) -> Iterator["pyarrow.Table"]:
    """One shard's rows, some at a time as columns; its checksum is not looked at."""
    import pyarrow
    from pyarrow import parquet

    pictures = record is Image and (columns is None or "content" in columns)
    rows = PICTURES_PER_GROUP if pictures else READ_BATCH_ROWS
    with parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):  # over several, the reader would keep them all
            for batch in file.iter_batches(rows, row_groups=[group], columns=columns):
                yield pyarrow.Table.from_batches([batch])


def verify_shard(path: Path, shard: Shard) -> None:
    """Check one shard against its manifest entry.

    Raises:
        CorruptShardError: If the file is missing or its sha256 differs.
    """
    if not path.is_file():
        raise CorruptShardError("missing shard", path)
    if file_digest(path) != shard.sha256:
        raise CorruptShardError("shard does not match its checksum", path)


def write_json(path: Path, content: object) -> None:
    """Write JSON so that the file is either whole or not there, also if several write it."""
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    write_whole(path, text.encode("utf-8", "backslashreplace"))


def link_or_copy(source: str, target: str) -> str:
    """Give a file a second name, in place of what has it; a copy where links are not possible."""
    if os.path.exists(target):
        os.unlink(target)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def sync_file(path: Path) -> None:
    """Force a file's bytes to disk before it is renamed into place."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_shard(tables: "list[pyarrow.Table]", path: Path, record: type) -> Shard:
    """Write tables as one shard, which is on disk when it has its name; the list is emptied."""
    import pyarrow
    from pyarrow import parquet

    # Chunks would show in the file: equal rows are to make equal bytes however they came.
    table = pyarrow.concat_tables(tables).combine_chunks()
    tables.clear()
    stream = pyarrow.BufferOutputStream()  # no call into Python for each page
    parquet.write_table(table, stream, **_layout(record))
    content = stream.getvalue()
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        digest = hashlib.sha256(content).hexdigest()
        os.fsync(file.fileno())
    temporary.rename(path)
    return Shard(path.name, table.num_rows, digest)


def _layout(record: type) -> dict[str, Any]:
    """How a record's shards are laid out; encoded pictures do not get smaller."""
    if record is not Image:
        return {"row_group_size": READ_BATCH_ROWS, "compression": "zstd"}
    facts = [name for name in schema_of(record).names if name != "content"]
    return {
        "row_group_size": PICTURES_PER_GROUP,
        "compression": {**dict.fromkeys(facts, "zstd"), "content": "none"},
        "use_dictionary": facts,
    }


def _to_row(record: Any) -> dict[str, Any]:
    row = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    if isinstance(record, SetAside):  # says what hosts and endpoints said
        row |= {name: masked(row[name]) for name in ("record_id", "detail")}
    if "maker" in row:
        row["maker"] = dataclasses.asdict(row["maker"])
    return row
