"""KFP door of the PPO stage."""

from typing import NamedTuple

from kfp import dsl


@dsl.component(base_image="spa-vl/trainer:components.ppo", install_kfp_package=False)
def train_ppo(
    settings: dict,
    train: dsl.Input[dsl.Dataset],
    images_uri: str,
    images_digest: str,
    base_uri: str,
    base_digest: str,
    reward_model_uri: str,
    rollouts: dsl.Output[dsl.Dataset],
) -> NamedTuple("Outputs", [("uri", str), ("digest", str)]):
    """Align the base by proximal policy optimisation against the reward model.

    Args:
        settings: The `ppo` settings.
        train: Preferences whose questions are the prompts.
        images_uri: The image store.
        images_digest: Its manifest's digest.
        base_uri: The base VLM.
        base_digest: Digest of its files.
        reward_model_uri: The trained reward model.
        rollouts: Data set of Rollout records.

    Returns:
        Where the aligned VLM lies, and the digest of its files.
    """
    from components.ppo import train as train_policy
    from spavl.work import Reference

    images, base = Reference(images_uri, images_digest), Reference(base_uri, base_digest)
    policy = train_policy(settings, train.path, images, base, reward_model_uri, rollouts.path)
    return policy.uri, policy.digest


@dsl.component(base_image="spa-vl/trainer:components.ppo", install_kfp_package=False)
def train_ppo_points(
    group: str,
    points_uri: str,
    backbones: dict,
    reward_models: dict,
    images_uri: str,
    images_digest: str,
) -> dict:
    """Train an ablation's points that are aligned by PPO, one after another.

    Args:
        group: Comma-joined ids of this task's points.
        points_uri: Every point by id: its method, settings, data sets and backbone.
        backbones: Address and digest of every base model.
        reward_models: Address and digest of every reward model by the point's id.
        images_uri: The image store.
        images_digest: Its manifest's digest.

    Returns:
        Address and digest of every trained model by the point's id.
    """
    from components.ppo import train_points
    from spavl.points import read_points
    from spavl.work import Reference

    images, points = Reference(images_uri, images_digest), read_points(points_uri)
    return train_points(group.split(","), points, backbones, reward_models, images)
