"""Starting the command line as a user would, at smaller settings."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spavl.events import EventReader

SPAVL = (str(Path(sys.executable).parent / "spavl"),)

FEW_ATTACKS = {
    "evaluation.attacks.items": 4,
    "evaluation.attacks.best_of_n.draws": 10,
    "evaluation.attacks.pixels.steps": 2,
    "evaluation.attacks.suffix.steps": 2,
}

SMALL = {
    **FEW_ATTACKS,
    "collection.pocket_pictures": 2,
    "labeling.judge_noise": 0,  # too few pairs for noise to average out
    "dpo.num_train_epochs": 4,
    "ppo.total_episodes": 1536,
    "evaluation.benchmarks.split": "validation",  # the test items are for figures that are told
    "evaluation.benchmarks.harm_per_class": 3,
    "evaluation.benchmarks.unseen_per_class": 3,
    "evaluation.benchmarks.help_per_thing": 6,
    "evaluation.benchmarks.guards_per_class": 1,
    "evaluation.benchmarks.naming_per_thing": 1,
    "evaluation.blind_items": 12,
}

TINY = {
    **FEW_ATTACKS,
    "collection.pocket_pictures": 1,
    "collection.pocket_harmless_ratio": 0.1,
    "responses.tasks": 1,
    "labeling.pairing.pairs_per_question": 2,
    "dpo.num_train_epochs": 1,
    "ppo.total_episodes": 128,
    "evaluation.benchmarks.split": "validation",
    "evaluation.benchmarks.harm_per_class": 1,
    "evaluation.benchmarks.unseen_per_class": 1,
    "evaluation.benchmarks.help_per_thing": 1,
    "evaluation.benchmarks.guards_per_class": 1,
    "evaluation.benchmarks.naming_per_thing": 1,
    "evaluation.blind_items": 1,
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


def spavl(
    *arguments: str, timeout: float, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command line, with standard error in its output."""
    return subprocess.run(
        [*SPAVL, *arguments],
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )


def spavl_run(
    out: Path,
    name: str,
    *arguments: str,
    settings: Mapping[str, object] = SMALL,
    launcher: Sequence[str] = SPAVL,
    env: Mapping[str, str] | None = None,
) -> Ended:
    """`spavl run`, as a user would call it."""
    process = start_spavl_run(out, name, *arguments, settings=settings, launcher=launcher, env=env)
    output, _ = process.communicate(timeout=900)
    return Ended(process.returncode, output, out / name)


def start_spavl_run(
    out: Path,
    name: str,
    *arguments: str,
    settings: Mapping[str, object],
    launcher: Sequence[str] = SPAVL,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """`spavl run` in a process group of its own, as a terminal would start it."""
    overrides = [f"--set={key}={value}" for key, value in settings.items()]
    inherited = {key: value for key, value in os.environ.items() if key != "SPAVL_WORK_ROOT"}
    return subprocess.Popen(
        [*launcher, "run", f"--out={out}", f"--name={name}", *overrides, *arguments],
        env={**inherited, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def when(run: Path, process: "subprocess.Popen[str]", *stages: str, patience: float = 300) -> None:
    """Wait until one of the stages has begun, and read meanwhile what the run prints.

    Args:
        run: The run's folder; what was told there before does not count.
        process: The command line, as `start_spavl_run` gives it.
        stages: The stages that are waited for.
        patience: Seconds; then the command line and its steps are ended.
    """
    reader, deadline = EventReader(run, skip=True), time.monotonic() + patience
    while not any(event["stage"] in stages for event in reader.new()):
        if late := time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
        try:
            output, _ = process.communicate(timeout=60 if late else 0.05)
        except subprocess.TimeoutExpired:  # what was read is kept for the next call
            continue
        raise AssertionError(f"{' or '.join(stages)} did not begin:\n{output}")


def comparable(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary without what may differ between equal runs: seconds and the run's own places."""
    kept = {key: value for key, value in summary.items() if key != "seconds"}
    kept["champion"] = {
        key: value for key, value in (kept["champion"] or {}).items() if key != "folder"
    }
    return kept
