"""kill -9 of the command line at ten random moments of a run: nothing is left, nothing is lost."""

import itertools
import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from spavl.events import EventReader
from tests.local.running import TINY, Ended, comparable, start_spavl_run

KILLS = 10
SEED = int(os.environ.get("SPAVL_KILL_SEED", "20261122"))
MILESTONES = {"started": {"started", "kept"}, "done": {"done", "kept"}}


@dataclass(frozen=True)
class Moment:
    """A moment of a run: some seconds after a stage's milestone; None is the run's start."""

    milestone: tuple[str, str] | None
    seconds: float


def test_a_run_survives_ten_kills(
    with_photographs: Ended, photographs: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    for number, moment in enumerate(random_moments(with_photographs.folder)):
        reader = EventReader(run, skip=True)
        process = (
            start_spavl_run(tmp_path, "run", "--resume", settings={})
            if number
            else start_spavl_run(tmp_path, "run", f"--images={photographs}", settings=TINY)
        )
        finished = commits(tmp_path)
        wait_until(moment, reader, process)
        process.kill()
        output, _ = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, output
        assert left_behind(run) == [], "steps outlived the command line"
        assert finished.items() <= commits(tmp_path).items(), "finished work was lost"
    process = start_spavl_run(tmp_path, "run", "--resume", settings={})
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output
    ended = Ended(process.returncode, output, run)
    assert comparable(ended.summary) == comparable(with_photographs.summary)


def random_moments(undisturbed: Path) -> list[Moment]:
    """Ten moments, drawn from the whole of an undisturbed run's time, in order."""
    events = [
        (event["time"], (event["stage"], event["event"]))
        for event in EventReader(undisturbed).new()
        if event["event"] in MILESTONES
    ]
    start = (undisturbed / "request.json").stat().st_mtime
    source = random.Random(SEED)
    times = sorted(source.uniform(start, events[-1][0]) for _ in range(KILLS))
    marks = [(start, None), *events]
    moments = []
    for at in times:
        time_of, milestone = max((m for m in marks if m[0] <= at), key=lambda mark: mark[0])
        moments.append(Moment(milestone, at - time_of))
    return moments


def wait_until(moment: Moment, reader: EventReader, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 600
    while moment.milestone is not None and time.monotonic() < deadline:
        stage, milestone = moment.milestone
        if any(
            event["stage"] == stage and event["event"] in MILESTONES[milestone]
            for event in reader.new()
        ):
            break
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    time.sleep(moment.seconds)


def commits(out: Path) -> dict[Path, int]:
    """Finished work: its commit files and when each was written."""
    return {path: path.stat().st_mtime_ns for path in out.glob(".work/*/*/commit.json")}


def left_behind(run: Path) -> list[int]:
    """Processes of the run that still live half a minute after the command line's death.

    A step that was just started first loads its libraries, and then looks for the command line.
    """
    mark = f"SPAVL_RUN_FOLDER={run}\0".encode()
    for _ in itertools.repeat(None, 300):
        living = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes():
                    living.append(int(process.name))
            except OSError:
                continue
        if not living:
            return []
        time.sleep(0.1)
    return living
