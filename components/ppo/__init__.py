"""PPO: a policy aligned by its own rollouts and a trained reward model.

Comes in: the questions of the training preferences, the image store, the base model, the reward
model. Goes out: the aligned policy with its figures and curves, and every rollout.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spavl.digests import folder_digest
from spavl.models.saving import MODEL_FILE, saved_digest
from spavl.points import Body, Point, train_each, trained
from spavl.settings.ppo import PpoSettings
from spavl.shards import read_manifest
from spavl.storage import local_copy
from spavl.work import Reference, Stage, Work


def train(
    settings: dict[str, object],
    train: str,
    images: Reference,
    base: Reference,
    reward_model: str,
    rollouts: str,
) -> Reference:
    """Train the policy and publish its rollouts.

    Args:
        settings: Raw settings; see `PpoSettings`.
        train: Data set of `Preference`; its distinct questions on pictures are the prompts.
        images: The image store.
        base: The base model's folder; policy and reference start there.
        reward_model: Address of the trained reward model; the reward, and where the value model
            starts.
        rollouts: Where the data set of `Rollout` is published.

    Returns:
        The policy.

    Raises:
        InputError: If a setting is bad or no prompt can be used.
    """
    rewarding = str(local_copy(reward_model))
    stage, body = _prepared(settings, train, images, base, rewarding)
    return trained(stage, body, publish={"rollouts": rollouts})


def train_points(
    names: Sequence[str],
    points: Mapping[str, Point],
    backbones: Mapping[str, Any],
    reward_models: Mapping[str, Mapping[str, str]],
    images: Reference,
) -> dict[str, dict[str, str]]:
    """Train an ablation's points one after another; those of other methods are left out.

    Args:
        names: Ids of the points.
        points: Every point by id.
        backbones: `uri` and `digest` of every base model.
        reward_models: `uri` and `digest` of every point's reward model.
        images: The image store.

    Returns:
        `uri` and `digest` of every trained model by the point's id.
    """

    def prepared(name: str, point: Point) -> tuple[Stage, Body]:
        train = str(local_copy(point.train))
        rewarding = str(local_copy(reward_models[name]["uri"]))
        base = Reference(**backbones[point.backbone])
        return _prepared(point.settings["ppo"], train, images, base, rewarding, f"ppo-{name}")

    return train_each(names, points, "ppo", prepared)


def _prepared(
    settings: dict[str, object],
    train: str,
    images: Reference,
    base: Reference,
    reward_model: str,
    name: str = "ppo",
) -> tuple[Stage, Body]:
    """The stage and its body."""
    chosen = PpoSettings.parse(settings, "ppo")
    inputs = {
        "train": read_manifest(train).digest,
        "images": images.digest,
        "base": base.digest,
        "reward_model": _model_digest(Path(reward_model)),
    }

    def body(work: Work) -> dict[str, object]:
        with work.importing():
            from components.ppo.players import ModelPlaces
            from components.ppo.training import Places, train_policy
            from spavl.alignment.launching import train_in_processes
        models = ModelPlaces(
            str(local_copy(images.uri)), str(local_copy(base.uri)), reward_model, base.digest
        )
        return train_in_processes(work, chosen, train_policy, places=Places(train, models))

    return Stage(name, "components.ppo", chosen.model_dump(mode="json"), inputs), body


def _model_digest(folder: Path) -> str:
    return saved_digest(folder) if (folder / MODEL_FILE).exists() else folder_digest(folder)
