"""Reward modeling: a vision-language reward model from preference pairs.

Comes in: preference pairs (train, validation, test), the image store, the base model. Goes out: the
base model's backbone with a linear head on the last answer token, and its accuracy on pairs it
never saw.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from spavl.points import Body, Point, train_each, trained
from spavl.settings.reward_modeling import RewardModelingSettings
from spavl.shards import read_manifest
from spavl.storage import local_copy
from spavl.work import Reference, Stage, Work

SPLITS = ("train", "validation", "test")


def train(
    settings: dict[str, object],
    train: str,
    validation: str,
    test: str,
    images: Reference,
    base: Reference,
) -> Reference:
    """Train the reward model and publish its folder.

    Args:
        settings: Raw settings; see `RewardModelingSettings`.
        train: Data set of `Preference` to learn from.
        validation: Data set of `Preference` looked at during training.
        test: Data set of `Preference` that the final accuracy is told on.
        images: The image store.
        base: The base model's folder.
        output: Where the model's folder is published.

    Raises:
        InputError: If a setting is bad or no pair can be used.
    """
    splits = dict(zip(SPLITS, (train, validation, test), strict=True))
    stage, body = _prepared(settings, splits, images, base)
    return trained(stage, body)


def train_points(
    names: Sequence[str],
    points: Mapping[str, Point],
    backbones: Mapping[str, Any],
    images: Reference,
) -> dict[str, dict[str, str]]:
    """Train the reward models of an ablation's points that are aligned by PPO.

    Args:
        names: Ids of the points.
        points: Every point by id.
        backbones: `uri` and `digest` of every base model.
        images: The image store.

    Returns:
        `uri` and `digest` of every reward model by the point's id.
    """

    def prepared(name: str, point: Point) -> tuple[Stage, Body]:
        splits = {split: str(local_copy(getattr(point, split))) for split in SPLITS}
        base = Reference(**backbones[point.backbone])
        settings = point.settings["reward_modeling"]
        return _prepared(settings, splits, images, base, f"reward_modeling-{name}")

    return train_each(names, points, "ppo", prepared)


def _prepared(
    settings: dict[str, object],
    splits: dict[str, str],
    images: Reference,
    base: Reference,
    name: str = "reward_modeling",
) -> tuple[Stage, Body]:
    """The stage and its body."""
    chosen = RewardModelingSettings.parse(settings, "reward_modeling")
    inputs = {split: read_manifest(folder).digest for split, folder in splits.items()}
    inputs |= {"images": images.digest, "base": base.digest}

    def body(work: Work) -> dict[str, object]:
        with work.importing():
            from components.reward_modeling.training import train_reward_model
            from spavl.alignment.launching import train_in_processes
        # Fetched here, once, where there will be several processes.
        places = {"images": str(local_copy(images.uri)), "base": str(local_copy(base.uri))}
        return train_in_processes(work, chosen, train_reward_model, splits=splits, **places)

    stage = Stage(name, "components.reward_modeling", chosen.model_dump(mode="json"), inputs)
    return stage, body
