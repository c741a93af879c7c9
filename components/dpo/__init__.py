"""DPO: a policy aligned on preference pairs, without a reward model.

Comes in: preference pairs (train, validation), the image store, the base model. Goes out: the
aligned policy with its figures and curves.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from spavl.points import Body, Point, train_each, trained
from spavl.settings.dpo import DpoSettings
from spavl.shards import read_manifest
from spavl.storage import local_copy
from spavl.work import Reference, Stage, Work


def train(
    settings: dict[str, object],
    train: str,
    validation: str,
    images: Reference,
    base: Reference,
) -> Reference:
    """Train the policy.

    Args:
        settings: Raw settings; see `DpoSettings`.
        train: Data set of `Preference` to learn from.
        validation: Data set of `Preference` looked at during training.
        images: The image store.
        base: The base model's folder; policy and reference start there.

    Returns:
        The policy.

    Raises:
        InputError: If a setting is bad or no pair can be used.
    """
    stage, body = _prepared(settings, {"train": train, "validation": validation}, images, base)
    return trained(stage, body)


def train_points(
    names: Sequence[str],
    points: Mapping[str, Point],
    backbones: Mapping[str, Any],
    images: Reference,
) -> dict[str, dict[str, str]]:
    """Train an ablation's points one after another; those of other methods are left out.

    Args:
        names: Ids of the points.
        points: Every point by id.
        backbones: `uri` and `digest` of every base model.
        images: The image store.

    Returns:
        `uri` and `digest` of every trained model by the point's id.
    """

    def prepared(name: str, point: Point) -> tuple[Stage, Body]:
        splits = {
            split: str(local_copy(getattr(point, split))) for split in ("train", "validation")
        }
        base = Reference(**backbones[point.backbone])
        return _prepared(point.settings["dpo"], splits, images, base, f"dpo-{name}")

    return train_each(names, points, "dpo", prepared)


def _prepared(
    settings: dict[str, object],
    splits: dict[str, str],
    images: Reference,
    base: Reference,
    name: str = "dpo",
) -> tuple[Stage, Body]:
    """The stage and its body."""
    chosen = DpoSettings.parse(settings, "dpo")
    inputs = {split: read_manifest(folder).digest for split, folder in splits.items()}
    inputs |= {"images": images.digest, "base": base.digest}

    def body(work: Work) -> dict[str, object]:
        with work.importing():
            from components.dpo.training import train_policy
            from spavl.alignment.launching import train_in_processes
        # Fetched here, once, where there will be several processes.
        places = {"images": str(local_copy(images.uri)), "base": str(local_copy(base.uri))}
        return train_in_processes(work, chosen, train_policy, splits=splits, **places)

    return Stage(name, "components.dpo", chosen.model_dump(mode="json"), inputs), body
