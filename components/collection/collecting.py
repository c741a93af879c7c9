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
from components.collection.retrieval import retrieved
from components.collection.review import read_dropped, without
from spavl.digests import file_digest, folder_digest
from spavl.errors import InputError
from spavl.records import SetAside, Truth
from spavl.settings.collection import CollectionSettings
from spavl.shards import MANIFEST, read_manifest
from spavl.storage import local_copy
from spavl.work import Stage, Work, report_error, run_stage, stage_uri

FETCHED = "fetched"

WHOLE_BYTES = 2**30
"""Files above it count by size and time, so that one does not hold up the digest of a folder."""


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
        hub: Data set of the hub.
        decisions: Table of a review's decisions.
    """

    images: Path | None
    classes: Path | None
    addresses: Path | None
    objects: str | None
    hub: str | None
    decisions: Path | None


def collect(settings: Mapping[str, Any], images: str, classes: str) -> Collected:
    """Collects pictures into an image store in the stage's work folder.

    Args:
        settings: See `CollectionSettings`.
        images: Folder with photographs, read with its sub-folders; empty for none.
        classes: CSV with the columns `file` (relative to the folder) and `class`; empty for none.

    Raises:
        InputError: A folder or CSV is missing or wrong, or no picture is usable.
    """
    try:
        return _collect(settings, images, classes)
    except Exception as error:
        report_error("collection", error)  # what is wrong may be told before the work begins
        raise


def _collect(settings: Mapping[str, Any], images: str, classes: str) -> Collected:
    parsed = CollectionSettings.parse(dict(settings), "collection")
    sources = _sources(images, classes, parsed)
    inputs = {}
    if sources.images:
        inputs["images"] = folder_digest(sources.images, WHOLE_BYTES)
    for name in ("classes", "addresses", "decisions"):
        if table := getattr(sources, name):
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
    tables = {}
    for name in ("addresses", "decisions"):
        given = getattr(settings, name)
        tables[name] = Path(given.removeprefix("file://")) if given else None
        if given and not tables[name].is_file():
            raise InputError("no such file", str(tables[name]), f"correct collection.{name}")
    return _Sources(folder, table, objects=settings.s3_prefix, hub=settings.hub, **tables)


def _fill_store(work: Work, settings: CollectionSettings, sources: _Sources) -> dict[str, Any]:
    closeness = Closeness(settings.near_radius, settings.near_difference)
    candidates = _screened(_candidates(settings, sources, work), settings, sources.decisions)
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
    if sources.hub is not None:
        from components.collection.hub_pictures import hub_pictures

        yield from hub_pictures(sources.hub, settings)


def _screened(
    candidates: Iterator[Candidate], settings: CollectionSettings, decisions: Path | None
) -> Iterator[Candidate]:
    """Candidates without those that a person or a filter turns down."""
    if decisions is not None:
        candidates = without(candidates, read_dropped(decisions))
    if settings.extreme is not None:
        from components.collection.extreme import load_filter, without_extreme

        filter_ = load_filter(settings.extreme)
        candidates = without_extreme(candidates, filter_, settings.extreme.at_least)
    return candidates


def _photographs(
    folder: Path, table: Path | None, settings: CollectionSettings, work: Work
) -> Iterator[Candidate]:
    found = retrieved(settings.retrieval, pictures=lambda: photographs(folder, {}, settings))
    classes = (found or {}) | (read_classes(table, folder) if table else {})
    total = count_files(folder)
    for done, candidate in enumerate(photographs(folder, classes, settings), start=1):
        yield candidate
        work.progress(done, total, "files")


def _fetched(table: Path, settings: CollectionSettings, work: Work) -> Iterator[Candidate]:
    from components.collection.downloads import download, downloaded
    from components.collection.url_tables import read_addresses, read_listed

    total = sum(1 for _ in read_addresses(table))  # and finds what is wrong with it at once
    folder = work.folder / FETCHED
    by_caption = retrieved(settings.retrieval, captions=lambda: read_listed(table))

    def wanted() -> Iterator[str]:
        every = read_addresses(table)
        return every if by_caption is None else (each for each in every if each in by_caption)

    download(wanted(), folder, settings, lambda done: work.progress(done, total, "fetched"))
    by_looks = retrieved(
        settings.retrieval, pictures=lambda: downloaded(wanted(), {}, folder, settings)
    )
    candidates = downloaded(wanted(), by_caption or by_looks or {}, folder, settings)
    for done, candidate in enumerate(candidates, start=1):
        yield candidate
        work.progress(done, total, "files")
    for address in read_addresses(table):
        if by_caption is not None and address not in by_caption:
            yield SetAside(address, "collection", "not retrieved", "near no class, or it is full")


def _on_s3(uri: str, settings: CollectionSettings, work: Work) -> Iterator[Candidate]:
    total = listed(uri).count
    for done, candidate in enumerate(object_photographs(uri, settings), start=1):
        yield candidate
        work.progress(done, total, "objects")


def _require_pictures(filled: Filled, sources: _Sources) -> None:
    places = (sources.images, sources.addresses, sources.objects, sources.hub)
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
