"""Where a run's or an imported folder's data sets lie."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from spavl.addresses import require_known
from spavl.errors import InputError
from spavl.shards import MANIFEST
from spavl.storage import is_s3, uri_of


@dataclass(frozen=True)
class Addresses:
    """Addresses of data sets: paths, or on S3.

    Attributes:
        images: The image store.
        train: Preferences to train on.
        validation: Preferences to watch.
        test: Preferences held out; its sub-folder `items` holds the test items.
    """

    images: str
    train: str
    validation: str
    test: str

    @classmethod
    def below(cls, uri: str) -> "Addresses":
        """The data sets of an imported folder."""
        start = uri.rstrip("/")
        return cls(*(f"{start}/{name}" for name in ("images", "train", "validation", "test")))


class Imported(NamedTuple):
    """Data sets that were found whole.

    Attributes:
        train: Address of the preferences to train on.
        validation: Address of those to watch while training.
        test: Address of those held out, which a reward model's accuracy is told on.
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


def addresses_of(uri: str) -> Addresses:
    """The data sets of a run, or of a folder with `images`, `train`, `validation` and `test`.

    Args:
        uri: A folder, a `file://` address, or such a folder on S3.

    Raises:
        InputError: There is no such folder, or the run has not made them yet.
    """
    if is_s3(uri):
        return Addresses.below(uri)
    folder = Path(require_known(uri, "address").removeprefix("file://")).expanduser().absolute()
    if not folder.is_dir():
        raise InputError("no such folder", str(folder), "name a run's folder or an imported one")
    stages = folder / "stages"
    if not stages.is_dir():
        return _imported(folder)
    if (stages / "import.json").is_file():  # the run was given its data set
        return _given(stages / "import.json")
    works = {}
    for stage in ("collection", "splitting"):
        try:
            work = json.loads((stages / f"{stage}.json").read_text())["work"]
            works[stage] = uri_of(Path(work))  # a copy of what is on S3 may be lost here
        except FileNotFoundError:
            raise InputError(
                f"the run has no {stage} yet", str(folder), "finish it with spavl run --resume"
            ) from None
    splits = (f"{works['splitting']}/{name}" for name in ("train", "validation", "test"))
    return Addresses(f"{works['collection']}/images", *splits)


def _given(stage: Path) -> Addresses:
    result = json.loads(stage.read_text())["result"]
    if not (addresses := result.get("addresses")):
        raise InputError(
            "the run does not say where its data sets lie",
            str(stage),
            "name the folder or the address that it was given",
        )
    return Addresses(**addresses)


def _imported(folder: Path) -> Addresses:
    places = Addresses.below(str(folder))
    if not any(Path(place, MANIFEST).is_file() for place in vars(places).values()):
        raise InputError(
            "no data sets in this folder",
            str(folder),
            "name a run's folder, or what spavl import makes of a published one",
        )
    return places
