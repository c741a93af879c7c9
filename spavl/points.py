"""Points of an ablation: what is trained and evaluated, as the rooms hand it to each other.

The points lie in one JSON file whose address is passed on: as a parameter, a hundred of them would
be longer than a command line's argument may be.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from spavl.shards import write_json
from spavl.storage import local_copy
from spavl.work import Reference, Stage, Work, run_stage, stage_uri

Body = Callable[[Work], dict[str, object]]


@dataclass(frozen=True)
class Point:
    """A variant under a seed.

    Attributes:
        variant: What differs from other points, but for the seed.
        seed: Draws the rows and trains; 0 where nothing is trained.
        method: How the model is aligned; `base` is not.
        backbone: Name of the base model.
        settings: Of the trainers it goes through, by stage.
        train: Address of the preferences to train on; empty where nothing is trained.
        validation: Address of the preferences to watch.
        test: Address of the preferences that a reward model's accuracy is told on.
        pairs: Rows of `train`.
    """

    variant: str
    seed: int
    method: Literal["dpo", "ppo", "base"]
    backbone: str
    settings: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    train: str = ""
    validation: str = ""
    test: str = ""
    pairs: int = 0


def write_points(path: Path, points: Mapping[str, Point]) -> None:
    """Writes points by id."""
    write_json(path, {name: asdict(point) for name, point in points.items()})


def read_points(uri: str) -> dict[str, Point]:
    """The points of an address by id."""
    found: dict[str, Any] = json.loads(local_copy(uri).read_text())
    return {name: Point(**told) for name, told in found.items()}


def train_each(
    names: Iterable[str],
    points: Mapping[str, Point],
    method: str,
    prepared: Callable[[str, Point], tuple[Stage, Body]],
) -> dict[str, dict[str, str]]:
    """Train points of a method one after another; those of others are left out.

    Args:
        names: Ids of the points.
        points: Every point by id.
        method: Whose points are trained.
        prepared: The stage that trains a point, and its body, which leaves the model in `model`.

    Returns:
        `uri` and `digest` of every trained model by the point's id.
    """
    return {
        name: asdict(trained(*prepared(name, points[name])))
        for name in names
        if points[name].method == method
    }


def trained(stage: Stage, body: Body, publish: Mapping[str, str | Path] | None = None) -> Reference:
    """Do a trainer's work once; its model is passed on by reference.

    As an artifact, KFP would copy its 14 GB to S3, and from there into every pod that reads of it.

    Args:
        stage: The training.
        body: Leaves the model in `model`, and gives its `digest`.
        publish: What else is published, as in `run_stage`.

    Returns:
        The trained model.
    """
    digest = str(run_stage(stage, body, publish)["digest"])
    return Reference(f"{stage_uri(stage)}/model", digest)
