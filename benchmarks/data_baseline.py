"""The data benchmark's baseline: Hugging Face `datasets` as its documentation teaches it.

Batched functions over two processes call the search, the pairing and the split code that ours
calls; rows are taken by index, shards are written by `to_parquet`, digested and listed in a
manifest, and read back by `from_parquet` once their digests were checked.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow
from datasets import Dataset, Features, disable_progress_bars

from benchmarks.data import SEED, pair, search, splitting
from benchmarks.data_world import PICTURES_PER_SHARD, Shape
from components.labeling.items import Row, choose_items, item_table
from components.labeling.splitting import DECIDING, RECORDS, places_of
from spavl.digests import file_digest
from spavl.records import SCHEMA_VERSION, EvalItem, Image, Preference, SetAside, schema_of
from spavl.shards import MANIFEST, Shard, read_manifest, verify_shard, write_json

ROWS_PER_SHARD = 4096
ROWS_AT_ONCE = 4096
PROCESSES = 2
disable_progress_bars()


def baseline(world: Path, out: Path, shape: Shape) -> None:
    """All steps."""
    cache = str(out / "cache")
    _write(_pictures(world, cache), out / "images", Image, PICTURES_PER_SHARD)
    preferences = _preferences(world, cache, shape)
    for place, rows in _split(preferences, shape).items():
        _write(rows, out / place, RECORDS[place], ROWS_PER_SHARD)
    for place in ("images", *RECORDS):
        _read_back(out / place, cache)


def _pictures(world: Path, cache: str) -> Dataset:
    shards = sorted(str(path) for path in (world / "gathered").glob("*.parquet"))
    pictures = Dataset.from_parquet(shards, cache_dir=cache, num_proc=PROCESSES)
    repeats = search(world)
    return pictures.select([place for place in range(len(pictures)) if place not in repeats])


def _preferences(world: Path, cache: str, shape: Shape) -> Dataset:
    answered = Dataset.from_parquet(str(world / "answered.parquet"), cache_dir=cache)

    return answered.with_format("arrow").map(
        lambda block: pair(block, world),
        batched=True,
        batch_size=shape.block,
        num_proc=PROCESSES,
        remove_columns=answered.column_names,
        features=_features(Preference),
    )


def _split(preferences: Dataset, shape: Shape) -> dict[str, Dataset]:
    settings = splitting(shape)
    known = preferences.select_columns(list(Row._fields))
    items = choose_items(known.iter(ROWS_AT_ONCE), shape.per_class, SEED)

    def places(batch: pyarrow.Table) -> pyarrow.Table:
        return pyarrow.table({"place": places_of(batch, items, settings, SEED)})

    marked = preferences.select_columns(list(DECIDING)).map(
        places,
        batched=True,
        batch_size=ROWS_AT_ONCE,
        num_proc=PROCESSES,
        remove_columns=list(DECIDING),
    )
    place = marked.with_format("numpy")["place"][:]
    rows = {each: preferences.select(np.flatnonzero(place == each)) for each in RECORDS}
    rows["test/items"] = rows["test/items"].map(
        lambda batch: item_table(batch, items),
        batched=True,
        num_proc=PROCESSES,
        remove_columns=preferences.column_names,
        features=_features(EvalItem),
    )
    rows["train/set_asides"] = Dataset.from_dict(
        {name: [] for name in schema_of(SetAside).names}, features=_features(SetAside)
    )
    return rows


def _write(rows: Dataset, folder: Path, record: type, rows_per_shard: int) -> None:
    folder.mkdir(parents=True)
    shards = []
    for number, begin in enumerate(range(0, len(rows), rows_per_shard)):
        part = rows.select(range(begin, min(begin + rows_per_shard, len(rows))))
        path = folder / f"part-{number:05d}.parquet"
        part.to_parquet(str(path))
        shards.append(Shard(path.name, len(part), file_digest(path)))
    told = {"schema": record.__name__, "version": SCHEMA_VERSION, "rows": len(rows)}
    listed = [dataclasses.asdict(shard) for shard in shards]
    write_json(folder / MANIFEST, {**told, "shards": listed, "made_by": {}, "inputs": {}})


def _read_back(folder: Path, cache: str) -> None:
    manifest = read_manifest(folder)
    for shard in manifest.shards:
        verify_shard(folder / shard.name, shard)
    if manifest.shards:
        paths = [str(folder / shard.name) for shard in manifest.shards]
        read = Dataset.from_parquet(paths, cache_dir=cache, num_proc=PROCESSES)
        assert len(read) == manifest.rows


def _features(record: type) -> Features:
    return Features.from_arrow_schema(schema_of(record))
