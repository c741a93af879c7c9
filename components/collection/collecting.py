"""The collection stage: sources in, image store out."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from components.collection.classes import read_classes
from components.collection.photographs import Candidate, count_files, photographs
from components.collection.pocket_pictures import pocket_pictures
from spavl.digests import file_digest
from spavl.errors import InputError
from spavl.records import Image, SetAside
from spavl.settings.collection import CollectionSettings
from spavl.shards import DatasetWriter, read_manifest
from spavl.work import Stage, Work, report_error, run_stage, stage_folder

IMAGES_PER_SHARD = 512
"""Bounds memory: a shard's pictures are held until it is written."""


class Collected(NamedTuple):
    """The image store: its folder and its manifest's digest."""

    uri: str
    digest: str


@dataclass(frozen=True)
class _Sources:
    """The user's folder and classes; None where not given."""

    images: Path | None
    classes: Path | None


def collect(
    settings: Mapping[str, Any], images: str, images_digest: str, classes: str
) -> Collected:
    """Collects pictures into an image store in the stage's work folder.

    Args:
        settings: See `CollectionSettings`.
        images: Folder with photographs, read with its sub-folders; empty for none.
        images_digest: Digest of that folder's content.
        classes: CSV with the columns `file` (relative to the folder) and `class`; empty for none.

    Raises:
        InputError: A folder or CSV is missing or wrong, or no picture is usable.
    """
    try:
        return _collect(settings, images, images_digest, classes)
    except Exception as error:
        report_error("collection", error)  # what is wrong may be told before the work begins
        raise


def _collect(
    settings: Mapping[str, Any], images: str, images_digest: str, classes: str
) -> Collected:
    parsed = CollectionSettings.parse(dict(settings), "collection")
    sources = _sources(images, classes)
    inputs = {"images": images_digest} if sources.images else {}
    if sources.classes:
        inputs["classes"] = file_digest(sources.classes)
    stage = Stage("collection", __name__, parsed.model_dump(mode="json"), inputs)
    run_stage(stage, lambda work: _fill_store(work, parsed, sources))
    store = stage_folder(stage) / "images"
    return Collected(str(store), read_manifest(store).digest)


def _sources(images: str, classes: str) -> _Sources:
    folder = Path(images.removeprefix("file://")) if images else None
    table = Path(classes.removeprefix("file://")) if classes else None
    if folder is not None and not folder.is_dir():
        raise InputError("no such folder", str(folder), "give a folder with pictures to --images")
    if table is not None and not table.is_file():
        raise InputError("no such file", str(table), "give a CSV file to --classes")
    if table is not None and folder is None:
        raise InputError("classes without pictures", str(table), "give --images as well")
    return _Sources(folder, table)


def _fill_store(work: Work, settings: CollectionSettings, sources: _Sources) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    store, aside = work.folder / "images", work.folder / "images" / "set_asides"
    made_by, inputs = work.stage.made_by, work.stage.inputs
    with (
        DatasetWriter(store, Image, made_by, inputs, IMAGES_PER_SHARD) as kept,
        DatasetWriter(aside, SetAside, made_by, inputs) as left_out,
    ):
        seen: set[str] = set()
        for candidate in _candidates(settings, sources, work):
            record = _without_duplicates(candidate, seen)
            if isinstance(record, SetAside):
                left_out.add(record)
                counts[f"set aside: {record.reason}"] += 1
            else:
                kept.add(record)
                counts[record.truth] += 1
                counts["photographs"] += record.thing is None  # a file may be named as it likes
        _require_pictures(counts, kept.rows, sources)
    return {"images": kept.rows, "set_asides": left_out.rows, "counts": dict(counts)}


def _candidates(settings: CollectionSettings, sources: _Sources, work: Work) -> Iterator[Candidate]:
    yield from pocket_pictures(settings)
    if sources.images is None:
        return
    classes = read_classes(sources.classes, sources.images) if sources.classes else {}
    total = count_files(sources.images)
    for done, candidate in enumerate(photographs(sources.images, classes, settings), start=1):
        yield candidate
        work.progress(done, total, "files")


def _without_duplicates(candidate: Candidate, seen: set[str]) -> Candidate:
    if isinstance(candidate, SetAside):
        return candidate
    if candidate.image_id in seen:
        return SetAside(candidate.source, "collection", "duplicate", f"of {candidate.image_id}")
    seen.add(candidate.image_id)
    return candidate


def _require_pictures(counts: Counter[str], rows: int, sources: _Sources) -> None:
    if sources.images is not None and not counts["photographs"]:
        reasons = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()) if ": " in name)
        raise InputError(
            f"no usable picture ({reasons or 'no files at all'})",
            str(sources.images),
            "give a folder with JPEG, PNG, WebP, GIF, BMP or TIFF pictures",
        )
    if not rows:
        raise InputError(
            "no pictures", "collection.pocket_pictures", "set it above 0 or give --images"
        )
