"""How many pictures the sources hold; every file counts as usable, and as no other's repetition."""

from pathlib import Path

from components.collection.objects import listed
from components.collection.photographs import count_files
from components.collection.pocket_pictures import count_pictures
from components.collection.url_tables import read_addresses
from spavl.errors import InputError
from spavl.settings.collection import CollectionSettings


def count_sources(settings: CollectionSettings, images: str) -> int:
    """Pictures of all sources.

    Args:
        settings: Settings of collection.
        images: The user's folder; empty for none.

    Raises:
        InputError: A source is missing, or cannot be counted without fetching it.
    """
    found = count_pictures(settings)
    if images:
        folder = Path(images)
        if not folder.is_dir():
            raise InputError("no such folder", images, "give a folder of pictures")
        found += count_files(folder)
    if settings.addresses:
        table = Path(settings.addresses.removeprefix("file://"))
        if not table.is_file():
            raise InputError("no such file", str(table), "correct collection.addresses")
        found += sum(1 for _ in read_addresses(table))
    if settings.s3_prefix:
        found += listed(settings.s3_prefix).count
    return found + (_count_hub(settings.hub) if settings.hub else 0)


def _count_hub(place: str) -> int:
    from pyarrow import parquet

    folder = Path(place)
    if place.startswith("hub:") or not folder.is_dir():
        raise InputError(
            "pictures of a hub data set are not counted", place, "say how many by --pictures"
        )
    return sum(parquet.read_metadata(path).num_rows for path in folder.rglob("*.parquet"))
