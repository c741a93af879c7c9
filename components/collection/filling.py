"""Filling the image store: exact duplicates go as they come, near-duplicates once all are known.

Pictures are first gathered in the folder `gathered`, with their fingerprints in a file beside it.
Where none repeats another, that folder becomes the store; otherwise it is copied without those.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.collection.closeness import Closeness
from components.collection.photographs import Candidate
from spavl.records import Image, SetAside
from spavl.shards import DatasetWriter, read_manifest, read_shard
from spavl.work import Work

if TYPE_CHECKING:
    import pyarrow

    from components.collection.fingerprints import PrintFile

IMAGES_PER_SHARD = 512
"""Bounds memory: a shard's pictures are held until it is written."""
STORE, GATHERED, ASIDE = "images", "gathered", "set_asides"


@dataclass
class Filled:
    """What went into a store.

    Attributes:
        photographs: Pictures found that are the user's, not the pocket world's.
        counts: Pictures by truth, and set-asides by reason as `set aside: <reason>`.
        labels: For each picture gathered, the number of its label: pictures may repeat each other
            only if truth, classes and thing are the same.
    """

    photographs: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    labels: list[int] = field(default_factory=list)


def fill_store(work: Work, candidates: Iterable[Candidate], closeness: Closeness | None) -> Filled:
    """Leaves the finished store in the work folder's `images`, and what was left out in
    `images/set_asides`.

    Args:
        work: The stage's work.
        candidates: Pictures, and files that are none.
        closeness: When two pictures count as the same; None keeps all that differ at all.
    """
    from components.collection.fingerprints import PrintFile

    for leftover in (STORE, GATHERED, ASIDE):
        shutil.rmtree(work.folder / leftover, ignore_errors=True)
    prints = None if closeness is None else PrintFile(work.folder / "thumbnails.bin")
    with _writer(work, ASIDE, SetAside) as left_out:
        with prints or nullcontext():
            filled = _gather(work, candidates, left_out, prints)
        repeats = _repeats(prints, filled.labels, closeness) if prints and closeness else {}
        if repeats:
            _copy_without(repeats, work, left_out, filled)
        else:
            (work.folder / GATHERED).rename(work.folder / STORE)
    (work.folder / ASIDE).rename(work.folder / STORE / ASIDE)
    (work.folder / "thumbnails.bin").unlink(missing_ok=True)
    return filled


def _gather(
    work: Work,
    candidates: Iterable[Candidate],
    left_out: DatasetWriter,
    prints: "PrintFile | None",
) -> Filled:
    filled = Filled()
    seen: set[bytes] = set()
    numbers: dict[tuple[str | None, ...], int] = {}
    with _writer(work, GATHERED, Image) as found:
        for candidate in candidates:
            record = _without_duplicates(candidate, seen)
            if isinstance(record, SetAside):
                left_out.add(record)
                filled.counts[f"set aside: {record.reason}"] += 1
                continue
            found.add(record)
            if prints:
                prints.add(record.content)
            label = (record.truth, record.class1, record.class2, record.class3, record.thing)
            filled.labels.append(numbers.setdefault(label, len(numbers)))
            filled.counts[record.truth] += 1
            filled.photographs += record.thing is None  # a file may be named as it likes
    return filled


def _without_duplicates(candidate: Candidate, seen: set[bytes]) -> Candidate:
    if isinstance(candidate, SetAside):
        return candidate
    digest = bytes.fromhex(candidate.image_id)
    if digest in seen:
        return SetAside(candidate.source, "collection", "duplicate", f"of {candidate.image_id}")
    seen.add(digest)
    return candidate


def _repeats(prints: "PrintFile", labels: list[int], closeness: Closeness) -> dict[int, int]:
    if not labels:
        return {}
    import numpy as np

    from components.collection.near_duplicates import near_duplicates

    return near_duplicates(prints.hashes(), prints.thumbs(), np.array(labels), closeness)


def _copy_without(
    repeats: dict[int, int], work: Work, left_out: DatasetWriter, filled: Filled
) -> None:
    with _writer(work, STORE, Image) as kept:
        for facts, aside in copy_without(repeats, work.folder / GATHERED, kept):
            left_out.add(aside)
            filled.counts[f"set aside: {aside.reason}"] += 1
            filled.counts[facts["truth"]] -= 1
    shutil.rmtree(work.folder / GATHERED)


def copy_without(
    repeats: Mapping[int, int], gathered: Path, kept: DatasetWriter
) -> Iterator[tuple[dict[str, Any], SetAside]]:
    """Copies pictures, and tells of those left out: what is known of them, and why.

    Args:
        repeats: Place of a repeating picture to the place of the earlier picture that it repeats.
        gathered: All pictures.
        kept: Takes those that repeat none.
    """
    originals = dict.fromkeys(repeats.values(), "")  # place to image id; each comes first
    first = 0
    for shard in read_manifest(gathered).shards:
        path, begin, first = gathered / shard.name, first, first + shard.rows
        if any(place in repeats for place in range(begin, first)):
            tables = read_shard(path, Image)
        else:  # most of the bytes: a shard that loses nothing is not written again
            kept.take_over(gathered, shard)
            tables = read_shard(path, Image, ["image_id"])
        for table in tables:
            places = range(begin, begin + table.num_rows)
            begin = places.stop
            for place in (each for each in places if each in originals):
                originals[place] = table["image_id"][place - places.start].as_py()
            left_out = [place for place in places if place in repeats]
            if "content" in table.column_names:
                _keep(table, [place - places.start for place in left_out], kept)
            for place in left_out:
                facts = table.slice(place - places.start, 1).drop_columns("content").to_pylist()[0]
                reason = "near-duplicate" if facts["thing"] is None else "pocket near-duplicate"
                detail = f"of {originals[repeats[place]]}"
                yield facts, SetAside(facts["source"], "collection", reason, detail)


def _keep(table: "pyarrow.Table", left_out: list[int], kept: DatasetWriter) -> None:
    """Adds rows but those left out, as slices: a filter would copy the pictures."""
    for begin, end in pairwise([-1, *left_out, table.num_rows]):
        kept.add_table(table.slice(begin + 1, end - begin - 1))


def _writer(work: Work, name: str, record: type) -> DatasetWriter:
    rows = IMAGES_PER_SHARD if record is Image else None
    return DatasetWriter(work.folder / name, record, work.stage.made_by, work.stage.inputs, rows)
