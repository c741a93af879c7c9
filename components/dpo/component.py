"""KFP door of the DPO stage."""

from typing import NamedTuple

from kfp import dsl


@dsl.component(base_image="spa-vl/trainer:components.dpo", install_kfp_package=False)
def train_dpo(
    settings: dict,
    train: dsl.Input[dsl.Dataset],
    validation: dsl.Input[dsl.Dataset],
    images_uri: str,
    images_digest: str,
    base_uri: str,
    base_digest: str,
) -> NamedTuple("Outputs", [("uri", str), ("digest", str)]):
    """Align the base by direct preference optimisation.

    Args:
        settings: The `dpo` settings.
        train: Preferences to train on.
        validation: Preferences to watch while training.
        images_uri: The image store.
        images_digest: Its manifest's digest.
        base_uri: The base VLM.
        base_digest: Digest of its files.

    Returns:
        Where the aligned VLM lies, and the digest of its files.
    """
    from components.dpo import train as train_policy
    from spavl.work import Reference

    images, base = Reference(images_uri, images_digest), Reference(base_uri, base_digest)
    policy = train_policy(settings, train.path, validation.path, images, base)
    return policy.uri, policy.digest


@dsl.component(base_image="spa-vl/trainer:components.dpo", install_kfp_package=False)
def train_dpo_points(
    group: str, points_uri: str, backbones: dict, images_uri: str, images_digest: str
) -> dict:
    """Train an ablation's points that are aligned by DPO, one after another.

    Args:
        group: Comma-joined ids of this task's points.
        points_uri: Every point by id: its method, settings, data sets and backbone.
        backbones: Address and digest of every base model.
        images_uri: The image store.
        images_digest: Its manifest's digest.

    Returns:
        Address and digest of every trained model by the point's id.
    """
    from components.dpo import train_points
    from spavl.points import read_points
    from spavl.work import Reference

    images, points = Reference(images_uri, images_digest), read_points(points_uri)
    return train_points(group.split(","), points, backbones, images)
