"""The preference data set of an ablation, taken by its address and checked whole."""

from dataclasses import dataclass
from typing import NamedTuple

from spavl.digests import json_digest
from spavl.errors import InputError
from spavl.published.sources import Addresses, addresses_of
from spavl.records import Image, Preference
from spavl.shards import MANIFEST, read_manifest, verify_shard
from spavl.storage import local_copy
from spavl.work import Stage, Work, run_stage


class Imported(NamedTuple):
    """Where the data sets lie, and what they hold.

    Attributes:
        train: Preferences to draw from.
        validation: Preferences to watch while training.
        test: Preferences held out, which a reward model's accuracy is told on.
        images_uri: The image store.
        images_digest: Digest of its manifest.
        digest: Digest of all four.
    """

    train: str
    validation: str
    test: str
    images_uri: str
    images_digest: str
    digest: str


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
        InputError: If a data set is missing or holds other records.
        CorruptShardError: If a shard does not match its checksum.
    """
    places = addresses_of(uri)
    held = {name: _held(place, name) for name, place in vars(places).items()}
    digests = {name: each.digest for name, each in held.items()}
    stage = Stage("import", __name__, {}, digests)
    run_stage(stage, lambda work: _checked(work, places, held))
    return Imported(
        places.train,
        places.validation,
        places.test,
        places.images,
        digests["images"],
        json_digest(digests),
    )


def data_digest(uri: str) -> str:
    """Digest of the data sets at an address, from their manifests alone."""
    places = vars(addresses_of(uri))
    return json_digest({name: _held(place, name).digest for name, place in places.items()})


def _held(place: str, name: str) -> Held:
    manifest = read_manifest(local_copy(f"{place}/{MANIFEST}").parent)
    wanted = (Image if name == "images" else Preference).__name__
    if manifest.schema != wanted:
        raise InputError(f"a data set of {manifest.schema}", place, f"give one of {wanted}")
    return Held(manifest.digest, manifest.rows)


def _checked(work: Work, places: Addresses, held: dict[str, Held]) -> dict[str, object]:
    for place in vars(places).values():
        folder = local_copy(place)
        for shard in read_manifest(folder).shards:
            verify_shard(folder / shard.name, shard)
    for name in ("train", "images"):
        if not held[name].rows:
            raise InputError("a data set without rows", getattr(places, name), "name another")
    return {"rows": {name: each.rows for name, each in held.items()}}
