"""The collection stage: sources in, image store out."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

from components.collection.classes import read_classes
from components.collection.closeness import Closeness
from components.collection.filling import Filled, fill_store
from components.collection.objects import listed, object_photographs
from components.collection.photographs import Candidate, count_files, photographs
from components.collection.pocket_pictures import pocket_pictures
from spavl.digests import file_digest
from spavl.errors import InputError
from spavl.records import Truth
from spavl.settings.collection import CollectionSettings
from spavl.shards import MANIFEST, read_manifest
from spavl.storage import local_copy
from spavl.work import Stage, Work, report_error, run_stage, stage_uri

FETCHED = "fetched"


class Collected(NamedTuple):
    """The image store: its folder and its manifest's digest."""

    uri: str
    digest: str


@dataclass(frozen=True)
class _Sources:
    """What the user gave; None where not given.

    Attributes:
        images: Folder of photographs.
        classes: CSV of their classes.
        addresses: Table of pictures to fetch.
        objects: Prefix of pictures on S3.
    """

    images: Path | None
    classes: Path | None
    addresses: Path | None
    objects: str | None


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
    sources = _sources(images, classes, parsed)
    inputs = {"images": images_digest} if sources.images else {}
    for name, table in (("classes", sources.classes), ("addresses", sources.addresses)):
        if table:
            inputs[name] = file_digest(table)
    if sources.objects:
        inputs["objects"] = listed(sources.objects).digest
    stage = Stage("collection", __name__, parsed.model_dump(mode="json"), inputs)
    run_stage(stage, lambda work: _fill_store(work, parsed, sources))
    store = f"{stage_uri(stage)}/images"
    return Collected(store, read_manifest(local_copy(f"{store}/{MANIFEST}").parent).digest)


def _sources(images: str, classes: str, settings: CollectionSettings) -> _Sources:
    folder = Path(images.removeprefix("file://")) if images else None
    table = Path(classes.removeprefix("file://")) if classes else None
    if folder is not None and not folder.is_dir():
        raise InputError("no such folder", str(folder), "give a folder with pictures to --images")
    if table is not None and not table.is_file():
        raise InputError("no such file", str(table), "give a CSV file to --classes")
    if table is not None and folder is None:
        raise InputError("classes without pictures", str(table), "give --images as well")
    addresses = settings.addresses
    rows = Path(addresses.removeprefix("file://")) if addresses else None
    if rows is not None and not rows.is_file():
        raise InputError("no such file", str(rows), "correct collection.addresses")
    return _Sources(folder, table, rows, settings.s3_prefix)


def _fill_store(work: Work, settings: CollectionSettings, sources: _Sources) -> dict[str, Any]:
    closeness = Closeness(settings.near_radius, settings.near_difference)
    candidates = _candidates(settings, sources, work)
    filled = fill_store(work, candidates, closeness if settings.near_duplicates else None)
    _require_pictures(filled, sources)
    shutil.rmtree(work.folder / FETCHED, ignore_errors=True)
    images = sum(filled.counts[truth] for truth in get_args(Truth))
    return {
        "images": images,
        "set_asides": filled.counts.total() - images,
        "counts": {name: n for name, n in filled.counts.items() if n},
    }


def _candidates(settings: CollectionSettings, sources: _Sources, work: Work) -> Iterator[Candidate]:
    yield from pocket_pictures(settings)
    if sources.images is not None:
        yield from _photographs(sources.images, sources.classes, settings, work)
    if sources.addresses is not None:
        yield from _fetched(sources.addresses, settings, work)
    if sources.objects is not None:
        yield from _on_s3(sources.objects, settings, work)


def _photographs(
    folder: Path, table: Path | None, settings: CollectionSettings, work: Work
) -> Iterator[Candidate]:
    classes = read_classes(table, folder) if table else {}
    total = count_files(folder)
    for done, candidate in enumerate(photographs(folder, classes, settings), start=1):
        yield candidate
        work.progress(done, total, "files")


def _fetched(table: Path, settings: CollectionSettings, work: Work) -> Iterator[Candidate]:
    from components.collection.downloads import download, downloaded
    from components.collection.url_tables import read_addresses

    total = sum(1 for _ in read_addresses(table))  # and finds what is wrong with it at once
    folder = work.folder / FETCHED
    download(
        read_addresses(table), folder, settings, lambda done: work.progress(done, total, "fetched")
    )
    for done, candidate in enumerate(downloaded(read_addresses(table), folder, settings), start=1):
        yield candidate
        work.progress(done, total, "files")


def _on_s3(uri: str, settings: CollectionSettings, work: Work) -> Iterator[Candidate]:
    total = listed(uri).count
    for done, candidate in enumerate(object_photographs(uri, settings), start=1):
        yield candidate
        work.progress(done, total, "objects")


def _require_pictures(filled: Filled, sources: _Sources) -> None:
    places = (sources.images, sources.addresses, sources.objects)
    given = [str(each) for each in places if each is not None]
    if given and not filled.photographs:
        asides = (each for each in sorted(filled.counts.items()) if ": " in each[0])
        reasons = ", ".join(f"{n} {name}" for name, n in asides)
        raise InputError(
            f"no usable picture ({reasons or 'no files at all'})",
            " and ".join(given),
            "give JPEG, PNG, WebP, GIF, BMP or TIFF pictures",
        )
    if not filled.labels:
        raise InputError(
            "no pictures", "collection.pocket_pictures", "set it above 0 or give --images"
        )
