"""Data construction at SPA-VL's size: ours against Hugging Face `datasets`.

From hashes and encoded bytes of pictures and the answers about them to data sets that were read
back: near-duplicate search, pairing, splitting with test items, packing into shards, manifests,
checksums. The baseline calls the same search, the same pairing and the same split code in batched
functions over two processes; its rows are compared with ours one by one.
"""

import json
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.data_world import PICTURES_PER_SHARD, Shape, judged, make_world
from benchmarks.measuring import last_line_of, machine
from components.collection.closeness import Closeness
from components.collection.filling import copy_without
from components.collection.fingerprints import Thumbnails
from components.collection.near_duplicates import near_duplicates
from components.labeling.drawing import ANSWERED, ASKED, Block, draw_block
from components.labeling.groups import BalancedDraw, safety_groups
from components.labeling.splitting import RECORDS, split_rows
from spavl.records import Image, Preference, SetAside
from spavl.settings.labeling import SplittingSettings
from spavl.shards import DatasetWriter, read_rows, read_tables

if TYPE_CHECKING:
    import pyarrow

SEED = 42
SIZES = (10_000, 100_788)
"""Rows at which memory is measured; three questions a picture."""


def ours(world: Path, out: Path, shape: Shape) -> None:
    """All steps, with the rooms' own functions."""
    repeats = search(world)
    with (
        DatasetWriter(out / "images", Image, rows_per_shard=PICTURES_PER_SHARD) as kept,
        DatasetWriter(out / "images" / "set_asides", SetAside) as aside,
    ):
        for _, reason in copy_without(repeats, world / "gathered", kept):
            aside.add(reason)
    with DatasetWriter(out / "preferences", Preference) as preferences:
        # By map: a loop's name would keep a block while the next is read.
        for pairs in map(partial(pair, world=world), blocks(world / "answered.parquet")):
            preferences.add_table(pairs)

    def writer(name: str, record: type) -> DatasetWriter:
        return DatasetWriter(out / name, record)

    split_rows(str(out / "preferences"), splitting(shape), SEED, writer)
    for name, record in {"images": Image, **RECORDS}.items():
        for table in read_tables(out / name, record):
            table.validate()


def search(world: Path) -> dict[int, int]:
    """Which pictures repeat which."""
    hashes, labels = np.load(world / "hashes.npy"), np.load(world / "labels.npy")
    return near_duplicates(hashes, Thumbnails(world / "thumbs.bin"), labels, Closeness())


def blocks(answered: Path) -> Iterator["pyarrow.Table"]:
    """The answered questions, a block at a time: each is a row group."""
    from pyarrow import parquet

    with parquet.ParquetFile(answered) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group)


def pair(answered: "pyarrow.Table", world: Path) -> "pyarrow.Table":
    """The judged pairs of a block of answered questions; answers come as a list a question."""
    import pyarrow
    from pyarrow import compute

    lists = [answered[name].combine_chunks() for name in ANSWERED]
    answers = pyarrow.table([each.flatten() for each in lists], names=list(ANSWERED))
    block = Block(
        answered.select(list(ASKED)),
        answers,
        compute.list_parent_indices(lists[0]).to_numpy(),
    )
    draw = BalancedDraw(safety_groups(json.loads((world / "rates.json").read_text()), 5), SEED)
    return judged(draw_block(block, draw, wanted=1)[0])


def splitting(shape: Shape) -> SplittingSettings:
    """How rows are split."""
    return SplittingSettings(validation=0.07, test_per_class=shape.per_class)


def run(shape: Shape, repetitions: int = 3, with_memory: bool = True) -> dict[str, Any]:
    """Measure one shape, the sides in turn and each in a fresh process; compare their rows.

    Raises:
        AssertionError: The sides' rows differ, or are not as many as the shape says.
    """
    told: dict[str, list[dict[str, float]]] = {"ours": [], "baseline": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_world(folder / "world", shape)
        for repetition in range(repetitions):
            for side in sorted(told, reverse=repetition % 2 == 0):
                shutil.rmtree(folder / side, ignore_errors=True)
                told[side].append(_measured(side, folder, shape))
        rows = _compared(folder / "ours", folder / "baseline", shape)
    mine, theirs = (
        {name: statistics.median(each[name] for each in every) for name in every[0]}
        for every in told.values()
    )
    found = {
        "shape": asdict(shape) | {"rows_by_data_set": rows},
        "ours_s": mine["seconds"],
        "baseline_s": theirs["seconds"],
        "time_ratio": mine["seconds"] / theirs["seconds"],
        "of_cpu_seconds": {"time_ratio": mine["cpu_seconds"] / theirs["cpu_seconds"]},
        "rows_per_s": shape.rows / mine["seconds"],
        "ours_peak_mib": mine["peak_mib"],
        "baseline_peak_mib": theirs["peak_mib"],
        "memory_ratio": mine["peak_mib"] / theirs["peak_mib"],
        "every_run": told,
    }
    if with_memory:
        found |= _memory()
    return found | {"machine": machine()}


def _measured(side: str, folder: Path, shape: Shape) -> dict[str, float]:
    """Seconds and peak memory of one side in a fresh process."""
    arguments = [side, str(folder / "world"), str(folder / side), json.dumps(asdict(shape))]
    return dict(json.loads(last_line_of("benchmarks.data_side", arguments)))


def _compared(ours: Path, theirs: Path, shape: Shape) -> dict[str, int]:
    """Rows by data set, which are the same on both sides."""
    counts = {}
    for name, record in {"images": Image, **RECORDS}.items():
        pairs = zip(
            read_rows(ours / name, record, None),
            read_rows(theirs / name, record, None),
            strict=True,
        )
        counts[name] = 0
        for mine, other in pairs:
            assert mine == other, f"{name}, row {counts[name]}"
            counts[name] += 1
    assert counts["images"] == shape.pictures
    assert sum(n for name, n in counts.items() if name != "images") == shape.rows
    return counts


def _memory() -> dict[str, float]:
    """Peak memory of our side at both sizes."""
    found = {}
    for rows in SIZES:
        with tempfile.TemporaryDirectory() as scratch:
            shape = Shape(pictures=-(-rows // 3), rows=rows)
            make_world(Path(scratch) / "world", shape)
            found[f"peak_mib_{rows}"] = _measured("ours", Path(scratch), shape)["peak_mib"]
    small, large = found.values()
    return found | {"peak_growth": large / small - 1}
