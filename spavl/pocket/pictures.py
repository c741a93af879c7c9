"""Drawn pictures as records of the data contract."""

import hashlib
import io

from spavl.pocket.world import Thing, draw, picture_rng
from spavl.records import Image
from spavl.taxonomy import Taxonomy


def pocket_image(thing: Thing, taxonomy: Taxonomy, seed: int, split: str, index: int) -> Image:
    """Draw one picture.

    Args:
        thing: What it shows.
        taxonomy: Where a harmful thing's domain and category are looked up.
        seed: Seed of the stage that draws.
        split: The pocket world's stream; streams never overlap.
        index: Place in the stream.
    """
    picture = draw(thing.name, picture_rng(seed, split, index))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    harm = taxonomy.find(thing.name) if thing.harmful else None
    return Image(
        image_id=hashlib.sha256(buffer.getvalue()).hexdigest(),
        content=buffer.getvalue(),
        media_type="image/png",
        width=picture.width,
        height=picture.height,
        source=f"pocket:{split}/{index}",
        truth="harmful" if thing.harmful else "harmless",
        class1=harm.domain if harm else None,
        class2=harm.category if harm else None,
        class3=harm.name if harm else None,
        thing=thing.name,
    )
