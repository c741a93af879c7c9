"""KFP doors of the importing room: a preference data set by its address."""

from typing import NamedTuple

from kfp import dsl


@dsl.component(
    base_image="spa-vl/pipeline:components.importing.importing", install_kfp_package=False
)
def import_preferences(uri: str, digest: str) -> NamedTuple(
    "Outputs",
    [
        ("train", str),
        ("validation", str),
        ("test", str),
        ("images_uri", str),
        ("images_digest", str),
        ("digest", str),
    ],
):
    """Take a preference data set by its address and check it whole.

    Args:
        uri: A run's folder, an imported folder, or such a folder on S3.
        digest: Digest of the data sets there, so that the cache knows when they change.

    Returns:
        Where its splits and its image store lie, and their digests.
    """
    from components.importing import import_data

    return import_data(uri)


@dsl.component(
    base_image="spa-vl/pipeline:components.importing.importing", install_kfp_package=False
)
def import_splits(
    uri: str,
    train: dsl.Output[dsl.Dataset],
    validation: dsl.Output[dsl.Dataset],
    test: dsl.Output[dsl.Dataset],
) -> NamedTuple(
    "Outputs",
    [
        ("images_uri", str),
        ("images_digest", str),
        ("items_uri", str),
        ("items_digest", str),
        ("imported", dict),
    ],
):
    """Take a preference data set by its address, check it whole, and hand its splits on.

    Args:
        uri: A run's folder, an imported folder, or such a folder on S3.
        train: Preferences to train on.
        validation: Preferences to watch while training.
        test: Preferences held out.

    Returns:
        Where its image store and its test items lie, and what the report says of its origin.
    """
    from components.importing import import_splits

    outputs = {"train": train.path, "validation": validation.path, "test": test.path}
    return import_splits(uri, outputs)
