"""Starting the command line as a user would, at smaller settings."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SMALL = {
    "collection.pocket_pictures": 2,
    "dpo.num_train_epochs": 4,
    "ppo.total_episodes": 1280,
    "evaluation.benchmarks.harm_per_class": 3,
    "evaluation.benchmarks.help_per_thing": 6,
    "evaluation.benchmarks.naming_per_thing": 1,
}

TINY = {
    "collection.pocket_pictures": 1,
    "labeling.pairing.pairs_per_question": 2,
    "dpo.num_train_epochs": 1,
    "ppo.total_episodes": 128,
    "evaluation.benchmarks.harm_per_class": 1,
    "evaluation.benchmarks.help_per_thing": 1,
    "evaluation.benchmarks.naming_per_thing": 1,
}


@dataclass(frozen=True)
class Ended:
    """A command line that ended."""

    code: int
    output: str
    folder: Path

    @property
    def summary(self) -> dict[str, Any]:
        """The run's summary.json."""
        content: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return content


def spavl_run(
    out: Path, name: str, *arguments: str, settings: Mapping[str, object] = SMALL
) -> Ended:
    """`spavl run`, as a user would call it."""
    overrides = [f"--set={key}={value}" for key, value in settings.items()]
    command = [str(Path(sys.executable).parent / "spavl"), "run", f"--out={out}", f"--name={name}"]
    environment = {key: value for key, value in os.environ.items() if key != "SPAVL_WORK_ROOT"}
    ended = subprocess.run(
        [*command, *overrides, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout + ended.stderr, out / name)
