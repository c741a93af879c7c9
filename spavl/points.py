"""Points of an ablation: what is trained and evaluated, as the rooms hand it to each other.

They lie in one JSON file whose address is passed on: as a parameter, a hundred of them would be
longer than a command line's argument may be.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from spavl.shards import write_json
from spavl.storage import local_copy


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
