"""Where a run's folder is, on a laptop and in a cluster."""

import subprocess
import sys
from pathlib import Path

import pytest

from spavl.environment import run_folder

VARIABLES = ("SPAVL_RUN_FOLDER", "SPAVL_RUNS", "SPAVL_RUN_ID")


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ({}, None),
        ({"SPAVL_RUN_ID": "7f3"}, None),
        ({"SPAVL_RUNS": "/work/runs", "SPAVL_RUN_ID": "7f3"}, Path("/work/runs/7f3")),
        ({"SPAVL_RUN_FOLDER": "here", "SPAVL_RUNS": "/r", "SPAVL_RUN_ID": "7f3"}, Path("here")),
    ],
)
def test_the_run_folder_is_named_or_lies_below_all_runs(
    given: dict[str, str], folder: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert run_folder() == folder


HOLD = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""
WAIT = """
import os, sys, time
os.environ["SPAVL_PARENT_LOCK"] = sys.argv[1]
from spavl.environment import die_with_parent
die_with_parent()
print("at work", flush=True)
time.sleep(60)
"""


def test_a_step_in_a_container_ends_when_the_command_line_is_killed(tmp_path: Path) -> None:
    lock = str(tmp_path / "parent.lock")
    command = [sys.executable, "-c"]
    with subprocess.Popen([*command, HOLD, lock], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with subprocess.Popen([*command, WAIT, lock], stdout=subprocess.PIPE, text=True) as step:
            assert step.stdout is not None
            assert step.stdout.readline() == "at work\n"
            with pytest.raises(subprocess.TimeoutExpired):
                step.wait(0.5)
            holder.kill()
            assert step.wait(30) == 1
