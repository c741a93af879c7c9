"""Starting and ending the follower; what stages and the command line know of tracking.

The follower is a process of its own, at low priority: MLflow costs two seconds to import and must
never slow or fail a training. It is started by its module's name, so that no stage's code depends
on it, and it dies with whoever started it.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spavl.environment import run_folder
from spavl.errors import INTERRUPTED, TRY_AGAIN, BusyError
from spavl.events import tell
from spavl.shards import write_json

FOLDER = "tracking"
LONGEST_END_SECONDS = 600.0
PATIENCE_SECONDS = 20.0
HURRY_SECONDS = 3.0
SECONDS_OF_A_CALL = 15.0


@dataclass(frozen=True)
class Outcome:
    """How following ended.

    Attributes:
        link: What opens the run in MLflow; empty if it was never reached.
        gap: What is not there; empty if all is.
    """

    link: str
    gap: str


class FollowerProcess:
    """A follower at work on a run's folder.

    Args:
        folder: The run's folder.
        run: The run's name for people.
        run_id: The run's unique id.
        only: The one stage to follow, as in a pod; None for all.
    """

    def __init__(self, folder: Path, run: str, run_id: str, only: str | None = None) -> None:
        self._folder, self._only = folder, only
        self._process: subprocess.Popen[bytes] | None = None
        command = [sys.executable, "-m", "spavl.tracking.following", str(folder)]
        command += [f"--run={run}", f"--run-id={run_id}", *([f"--only={only}"] if only else [])]
        with contextlib.suppress(OSError):  # a follower that cannot start is a gap, told at the end
            self._start(command)

    def _start(self, command: list[str]) -> None:
        (self._folder / FOLDER).mkdir(parents=True, exist_ok=True)
        _outcome_file(self._folder, self._only).unlink(missing_ok=True)
        with (self._folder / FOLDER / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the run; this one is told afterwards
            )

    def end(self, patience: float = PATIENCE_SECONDS) -> Outcome:
        """Let it bring the rest and end it.

        Args:
            patience: Seconds for which it goes on asking an MLflow that does not answer.
        """
        if self._process is not None:
            _let_end(self._process, patience)
        return read_outcome(self._folder, self._only)


def _let_end(process: subprocess.Popen[bytes], patience: float) -> None:
    hurry = patience < PATIENCE_SECONDS
    longest = patience + SECONDS_OF_A_CALL if hurry else LONGEST_END_SECONDS
    try:
        # What is missing when this fails is told by the outcome.
        with contextlib.suppress(subprocess.TimeoutExpired, OSError):
            process.communicate(f"{patience}\n".encode(), timeout=longest)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def tracked(folder: Path) -> Iterator[None]:
    """Follow a run on this machine while the block runs it; how the block ends is its status."""
    (folder / FOLDER / "status.json").unlink(missing_ok=True)
    process = FollowerProcess(folder, folder.name, unique_id(folder))
    try:
        yield
    except BaseException as error:
        _close(folder, process, _status_of(error), _why(folder, error))
        raise
    _close(folder, process, "FINISHED", "")


@contextlib.contextmanager
def followed(scope: str) -> Iterator[None]:
    """In a pod, follow a stage from beside it; elsewhere do nothing.

    Args:
        scope: The stage, or `report` or `publish`.
    """
    if not in_pod():
        yield
        return
    folder = run_folder()
    assert folder is not None
    process = FollowerProcess(folder, _pod_run(), _pod_run(), scope)
    try:
        yield
    finally:
        outcome = process.end()
        if outcome.gap:
            tell(scope, "note", text=f"not in MLflow yet: {outcome.gap}")


def close_in_pod(status: str, error: str) -> Outcome:
    """Bring what pods left behind and close the run in MLflow.

    Args:
        status: MLflow's status of a run, e.g. `FINISHED`.
        error: What it failed by; empty otherwise.
    """
    folder = run_folder()
    assert folder is not None
    write_status(folder, status, error)
    return FollowerProcess(folder, _pod_run(), _pod_run()).end()


def bring_now(folder: Path) -> Outcome:
    """Bring a run's folder to MLflow, whatever of it is not there yet.

    A run that ended without saying how, as by kill -9, is closed there by what it left.
    """
    with followers_lock(folder, 0):
        if not (folder / FOLDER / "status.json").exists():
            whole = (folder / "summary.json").exists()
            write_status(folder, "FINISHED" if whole else "KILLED", "")
    return FollowerProcess(folder, folder.name, unique_id(folder)).end()


def in_pod() -> bool:
    """Whether this step runs with an MLflow, in a run, and with no command line around it."""
    named = os.environ.get("MLFLOW_TRACKING_URI") and os.environ.get("SPAVL_RUN_ID")
    return bool(named) and "SPAVL_PARENT" not in os.environ and run_folder() is not None


def unique_id(folder: Path) -> str:
    """The id by which MLflow knows a run of this machine; names of folders may occur twice."""
    file = folder / FOLDER / "id"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(uuid.uuid4().hex)
    return file.read_text()


def write_status(folder: Path, status: str, error: str) -> None:
    """Leave how the run ended."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    content = {"status": status, "error": error, "time": round(time.time(), 3)}
    write_json(folder / FOLDER / "status.json", content)


@contextlib.contextmanager
def followers_lock(folder: Path, seconds: float, only: str | None = None) -> Iterator[None]:
    """One follower at a time keeps the positions.

    Raises:
        BusyError: If another one follows the run and has not ended within the seconds given.
    """
    from filelock import FileLock, Timeout

    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / FOLDER / f"{only or 'run'}.lock", timeout=seconds):
            yield
    except Timeout:
        raise BusyError(f"the run goes on and is followed ({folder}): wait for its end") from None


def write_outcome(folder: Path, only: str | None, link: str, gap: str) -> None:
    """Leave how following ended."""
    write_json(_outcome_file(folder, only), {"link": link, "gap": gap})


def read_outcome(folder: Path, only: str | None = None) -> Outcome:
    """How following ended; a follower that did not say so left a gap."""
    try:
        return Outcome(**json.loads(_outcome_file(folder, only).read_text()))
    except (OSError, ValueError, TypeError):
        return Outcome("", f"the follower ended early, see {folder / FOLDER / 'log.txt'}")


def _close(folder: Path, process: FollowerProcess, status: str, error: str) -> None:
    write_status(folder, status, error)
    outcome = process.end(HURRY_SECONDS if status == "KILLED" else PATIENCE_SECONDS)
    if outcome.gap:
        remedy = f"spavl track {folder} brings it"
        tell("tracking", "note", text=f"not in MLflow yet: {outcome.gap}; {remedy}")


def _why(folder: Path, error: BaseException) -> str:
    """What the failing step said, where it said something."""
    try:
        told = json.loads((folder / "error.json").read_text())
    except (OSError, ValueError):
        return str(error) or type(error).__name__
    return f"{told['stage']}: {told['message']}"


def _status_of(error: BaseException) -> str:
    stopped = getattr(error, "exit_code", None) in (TRY_AGAIN, INTERRUPTED)
    return "KILLED" if stopped or isinstance(error, KeyboardInterrupt) else "FAILED"


def _pod_run() -> str:
    return os.environ["SPAVL_RUN_ID"]


def _outcome_file(folder: Path, only: str | None) -> Path:
    return folder / FOLDER / f"{only or 'run'}.outcome.json"
