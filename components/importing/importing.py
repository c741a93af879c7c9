"""A preference data set, taken by its address and checked whole."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from spavl.digests import json_digest
from spavl.errors import CorruptShardError, InputError
from spavl.published.sources import Addresses, Imported, addresses_of
from spavl.records import Image, Preference
from spavl.shards import MANIFEST, read_manifest, verify_shard
from spavl.storage import local_copy
from spavl.work import Stage, publish_path, report_error, run_stage


class Splits(NamedTuple):
    """What a run goes on with, beside the splits themselves.

    Attributes:
        images_uri: The image store.
        images_digest: Digest of its manifest.
        items_uri: The test items; empty where the data set has none.
        items_digest: Digest of their manifest.
        imported: `source`, the address, and `digest`, that of splits and store, for the report.
    """

    images_uri: str
    images_digest: str
    items_uri: str
    items_digest: str
    imported: dict[str, str]


@dataclass(frozen=True)
class Held:
    """What a data set's manifest says."""

    digest: str
    rows: int


def import_data(uri: str) -> Imported:
    """Takes a data set in: a run's folder, an imported folder, or either's address on S3.

    Every shard is compared with its checksum before anything is trained on it.

    Args:
        uri: The address.

    Raises:
        InputError: If a data set is missing, is torn, or holds other records.
    """
    with _reported():  # what is wrong may be told before the work begins
        places = addresses_of(uri)
        held = _held(places)
        digests = {name: each.digest for name, each in held.items()}
    # The addresses count too: another copy of the same rows may be torn.
    stage = Stage("import", __name__, asdict(places), digests)
    run_stage(stage, lambda work: _checked(places, held))
    splits = (places.train, places.validation, places.test)
    return Imported(*splits, places.images, digests["images"], json_digest(digests))


def import_splits(uri: str, outputs: Mapping[str, str]) -> Splits:
    """Takes a data set in for a whole run.

    Args:
        uri: The address.
        outputs: Where to publish `train`, `validation` and `test`.

    Raises:
        InputError: See `import_data`.
    """
    imported = import_data(uri)
    with _reported():
        for split, output in outputs.items():
            publish_path(local_copy(getattr(imported, split)), Path(output))
        items = _test_items(imported.test)
    told = {"source": uri, "digest": imported.digest}
    return Splits(imported.images_uri, imported.images_digest, *items, told)


def _test_items(test: str) -> tuple[str, str]:
    """Where the test items of a data set lie, and their digest; empty texts where it has none."""
    folder = local_copy(test) / "items"
    if not (folder / MANIFEST).is_file():
        return "", ""
    return f"{test}/items", read_manifest(folder).digest


def data_digest(uri: str) -> str:
    """Digest of the data sets at an address, from their manifests alone."""
    return json_digest({name: each.digest for name, each in _held(addresses_of(uri)).items()})


def require_whole(uri: str) -> None:
    """Compare every shard at an address with its checksum; what lies on S3 is fetched for it.

    Raises:
        InputError: See `import_data`.
    """
    places = addresses_of(uri)
    _compare(places, _held(places))


def has_items(uri: str) -> bool:
    """Whether the data set at an address has test items."""
    uri_, _ = _test_items(addresses_of(uri).test)
    return bool(uri_) and read_manifest(local_copy(uri_)).rows > 0


def _checked(places: Addresses, held: Mapping[str, Held]) -> dict[str, Any]:
    _compare(places, held)
    rows = {name: each.rows for name, each in held.items()}
    return {"addresses": asdict(places), "rows": rows}


def _held(places: Addresses) -> dict[str, Held]:
    return {name: _held_at(place, name) for name, place in asdict(places).items()}


def _held_at(place: str, name: str) -> Held:
    with _told_as_input():
        manifest = read_manifest(local_copy(f"{place}/{MANIFEST}").parent)
    wanted = (Image if name == "images" else Preference).__name__
    if manifest.schema != wanted:
        raise InputError(f"a data set of {manifest.schema}", place, f"give one of {wanted}")
    return Held(manifest.digest, manifest.rows)


def _compare(places: Addresses, held: Mapping[str, Held]) -> None:
    for name, place in asdict(places).items():
        if name in ("train", "images") and not held[name].rows:
            raise InputError("a data set without rows", place, "name another")
        with _told_as_input():
            folder = local_copy(place)
            for shard in read_manifest(folder).shards:
                verify_shard(folder / shard.name, shard)


@contextmanager
def _reported() -> Iterator[None]:
    """What fails before or after the stage's own work is told to the run as well."""
    try:
        yield
    except Exception as error:
        report_error("import", error)
        raise


@contextmanager
def _told_as_input() -> Iterator[None]:
    """No resumed run makes a data set anew that came from elsewhere."""
    try:
        yield
    except CorruptShardError as error:
        what = str(error).partition(" (")[0]
        raise InputError(what, str(error.path), "import or copy the data set again") from None
