"""KFP door of the collection stage."""

from typing import NamedTuple

from kfp import dsl


@dsl.component(base_image="spa-vl/pipeline:components.collection", install_kfp_package=False)
def collect_images(settings: dict, images: str, classes: str) -> NamedTuple(
    "Outputs", [("uri", str), ("digest", str)]
):
    """Collect pictures into the image store, each stored once under the digest of its bytes.

    Args:
        settings: The `collection` settings.
        images: Folder of the user's pictures; empty for none.
        classes: CSV of `file,class` for the user's pictures; empty for none.

    Returns:
        Where the image store lies, and its manifest's digest.
    """
    from components.collection import collect

    return collect(settings, images, classes)
