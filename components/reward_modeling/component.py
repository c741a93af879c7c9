"""KFP door of the reward modeling stage."""

from typing import NamedTuple

from kfp import dsl


@dsl.component(base_image="spa-vl/trainer:components.reward_modeling", install_kfp_package=False)
def train_reward_model(
    settings: dict,
    train: dsl.Input[dsl.Dataset],
    validation: dsl.Input[dsl.Dataset],
    test: dsl.Input[dsl.Dataset],
    images_uri: str,
    images_digest: str,
    base_uri: str,
    base_digest: str,
) -> NamedTuple("Outputs", [("uri", str), ("digest", str)]):
    """Train a reward model on the preferences, starting from the base VLM.

    Args:
        settings: The `reward_modeling` settings.
        train: Preferences to train on.
        validation: Preferences to watch while training.
        test: Preferences that its accuracy is measured on.
        images_uri: The image store.
        images_digest: Its manifest's digest.
        base_uri: The base VLM.
        base_digest: Digest of its files.

    Returns:
        Where the reward model lies, and the digest of its files.
    """
    from components.reward_modeling import train as train_model
    from spavl.work import Reference

    images, base = Reference(images_uri, images_digest), Reference(base_uri, base_digest)
    model = train_model(settings, train.path, validation.path, test.path, images, base)
    return model.uri, model.digest


@dsl.component(base_image="spa-vl/trainer:components.reward_modeling", install_kfp_package=False)
def train_reward_points(
    group: str, points_uri: str, backbones: dict, images_uri: str, images_digest: str
) -> dict:
    """Train the reward models of an ablation's points that are aligned by PPO.

    Args:
        group: Comma-joined ids of this task's points.
        points_uri: Every point by id: its method, settings, data sets and backbone.
        backbones: Address and digest of every base model.
        images_uri: The image store.
        images_digest: Its manifest's digest.

    Returns:
        Address and digest of every reward model by the point's id.
    """
    from components.reward_modeling import train_points
    from spavl.points import read_points
    from spavl.work import Reference

    images, points = Reference(images_uri, images_digest), read_points(points_uri)
    return train_points(group.split(","), points, backbones, images)
