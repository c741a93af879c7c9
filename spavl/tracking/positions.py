"""How far a follower came, kept beside the run so that the next one goes on from there."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from spavl.shards import write_json

FOLDER = "tracking"


@dataclass
class Position:
    """What of one stage, or of the run itself, is in MLflow.

    Attributes:
        parent: The parent run it was brought to; another store has another one.
        run: Its run.
        work: The work it tells of.
        step: Last step of its curves.
        sample: Last sample of its system metrics.
        sent: Names of the parts that are there whole.
        status: The run's status there.
    """

    parent: str = ""
    run: str = ""
    work: str = ""
    step: int = -1
    sample: int = -1
    sent: list[str] = field(default_factory=list)
    status: str = "RUNNING"

    def save(self, folder: Path, name: str) -> None:
        """Keep it in the run's folder."""
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        write_json(folder / FOLDER / f"{name}.position.json", asdict(self))


def load_position(folder: Path, name: str) -> Position:
    """The position kept under a name; a new one where there is none or it cannot be read."""
    try:
        content = json.loads((folder / FOLDER / f"{name}.position.json").read_text())
        return Position(**content)
    except (OSError, ValueError, TypeError):
        return Position()
