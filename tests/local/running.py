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
    process = start_spavl_run(out, name, *arguments, settings=settings)
    output, _ = process.communicate(timeout=900)
    return Ended(process.returncode, output, out / name)


def start_spavl_run(
    out: Path, name: str, *arguments: str, settings: Mapping[str, object]
) -> subprocess.Popen[str]:
    """`spavl run` in a process group of its own, as a terminal would start it."""
    overrides = [f"--set={key}={value}" for key, value in settings.items()]
    command = [str(Path(sys.executable).parent / "spavl"), "run", f"--out={out}", f"--name={name}"]
    return subprocess.Popen(
        [*command, *overrides, *arguments],
        env={key: value for key, value in os.environ.items() if key != "SPAVL_WORK_ROOT"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
