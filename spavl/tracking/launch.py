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
from dataclasses import asdict, dataclass, field
from pathlib import Path

from spavl.environment import run_folder
from spavl.errors import INTERRUPTED, TRY_AGAIN, BusyError
from spavl.events import tell
from spavl.shards import write_json

FOLDER, RUN, STATUS = "tracking", "run.json", "status.json"
OPENING = "opening"  # the scope of a follower that has the run there under its name, and no more
PLUGIN = "KFP_MLFLOW_CONFIG"
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
        lasting: Whether MLflow refuses all that is not there, so that no other time will help.
    """

    link: str
    gap: str
    lasting: bool = False


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
        status: MLflow's status of a run, e.g. `FINISHED`.
        error: What it failed by; empty otherwise.
        time: Seconds since 1970.
        cached: Whether no stage of it had anything to do.
    """

    status: str
    error: str = ""
    time: float = field(default_factory=lambda: round(time.time(), 3))
    cached: bool = False


class FollowerProcess:
    """A follower at work on a run's folder.

    Args:
        folder: The run's folder.
        run: The run's name for people.
        run_id: The run's unique id.
        only: The one stage to follow, as in a pod; None for all.
        plugin: Content of KFP's variable that names its plugin's tree; empty for this process's.
    """

    def __init__(
        self, folder: Path, run: str, run_id: str, only: str | None = None, plugin: str = ""
    ) -> None:
        self._folder, self._only = folder, only
        self._plugin = {PLUGIN: plugin} if plugin else {}
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
                env=os.environ | self._plugin,
                start_new_session=True,  # Ctrl-C is for the run; this one is told afterwards
            )

    def end(
        self, patience: float = PATIENCE_SECONDS, longest: float = LONGEST_END_SECONDS
    ) -> Outcome:
        """Let it bring the rest and end it.

        Args:
            patience: Seconds for which it goes on asking an MLflow that does not answer.
            longest: Seconds after which it is ended although MLflow takes one thing after another.
        """
        if self._process is not None:
            hurry = patience < PATIENCE_SECONDS
            _let_end(self._process, patience, patience + SECONDS_OF_A_CALL if hurry else longest)
        return read_outcome(self._folder, self._only)


def _let_end(process: subprocess.Popen[bytes], patience: float, longest: float) -> None:
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
    (folder / FOLDER / STATUS).unlink(missing_ok=True)
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
    process = FollowerProcess(folder, run_name(folder), os.environ["SPAVL_RUN_ID"], scope)
    try:
        yield
    finally:
        outcome = process.end()
        if outcome.gap:
            tell(scope, "note", text=f"not in MLflow yet: {outcome.gap}")


def bring_now(folder: Path) -> Outcome:
    """Bring a run's folder to MLflow, whatever of it is not there yet.

    A run that ended without saying how, as by kill -9, is closed there by what it left.
    """
    with followers_lock(folder, 0):
        if not (folder / FOLDER / STATUS).exists():
            whole = (folder / "summary.json").exists()
            write_status(folder, Ending("FINISHED" if whole else "KILLED"))
    return FollowerProcess(folder, run_name(folder), unique_id(folder)).end()


def in_pod() -> bool:
    """Whether this step runs with an MLflow, in a run, and with no command line around it."""
    named = os.environ.get("MLFLOW_TRACKING_URI") or os.environ.get(PLUGIN)
    alone = "SPAVL_PARENT" not in os.environ and run_folder() is not None
    return bool(named and os.environ.get("SPAVL_RUN_ID")) and alone


def run_name(folder: Path) -> str:
    """The run's name for people: what `run.json` tells on a cluster, else its folder's."""
    try:
        return str(json.loads((folder / FOLDER / RUN).read_text())["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return folder.name


def unique_id(folder: Path) -> str:
    """The id by which MLflow knows a run of this machine; names of folders may occur twice."""
    file = folder / FOLDER / "id"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(uuid.uuid4().hex)
    return file.read_text()


def write_status(folder: Path, ending: Ending) -> None:
    """Leave how the run ended."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    write_json(folder / FOLDER / STATUS, asdict(ending))


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


def write_outcome(folder: Path, only: str | None, outcome: Outcome) -> None:
    """Leave how following ended."""
    write_json(_outcome_file(folder, only), asdict(outcome))


def read_outcome(folder: Path, only: str | None = None) -> Outcome:
    """How following ended; a follower that did not say so left a gap."""
    try:
        return Outcome(**json.loads(_outcome_file(folder, only).read_text()))
    except (OSError, ValueError, TypeError):
        return Outcome("", f"the follower ended early, see {folder / FOLDER / 'log.txt'}")


def _close(folder: Path, process: FollowerProcess, status: str, error: str) -> None:
    write_status(folder, Ending(status, error))
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


def _outcome_file(folder: Path, only: str | None) -> Path:
    return folder / FOLDER / f"{only or 'run'}.outcome.json"
