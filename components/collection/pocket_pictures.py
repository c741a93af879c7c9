"""Pictures of the pocket world, each side spread evenly over its things."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from spavl.records import Image
from spavl.seeds import derive_seed
from spavl.settings.collection import CollectionSettings

if TYPE_CHECKING:
    from spavl.pocket.world import Thing


def pocket_pictures(settings: CollectionSettings) -> Iterator[Image]:
    """Draws the pocket pictures, one thing after the other; the unseen classes are left out.

    The stream of pictures is collection's own: a base has seen none of them, nor do benchmarks hold
    any.
    """
    if not settings.pocket_pictures:
        return
    from spavl.pocket.pictures import pocket_image
    from spavl.pocket.world import things
    from spavl.taxonomy import load_taxonomy

    taxonomy = load_taxonomy()
    seed = derive_seed(settings.seed, "collection")
    for index, thing in enumerate(_chosen(things(), settings)):
        yield pocket_image(thing, taxonomy, seed, "train", index)


def count_pictures(settings: CollectionSettings) -> int:
    """How many pictures `pocket_pictures` draws."""
    from spavl.pocket.world import things

    return len(_chosen(things(), settings)) if settings.pocket_pictures else 0


def _chosen(all_things: "Sequence[Thing]", settings: CollectionSettings) -> "list[Thing]":
    """Every harmful thing that is collected equally often, and harmless ones in the asked ratio."""
    harmful = [t for t in all_things if t.harmful and t.taught_by != "nobody"]
    harmless = [thing for thing in all_things if not thing.harmful]
    chosen = [thing for thing in harmful for _ in range(settings.pocket_pictures)]
    share, rest = divmod(round(len(chosen) * settings.pocket_harmless_ratio), len(harmless))
    for place, thing in enumerate(harmless):
        chosen += [thing] * (share + (place < rest))
    return chosen
