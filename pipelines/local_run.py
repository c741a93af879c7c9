"""Running the DAG on this machine: every task a subprocess, no cluster, no containers.

The DAG is the compiled one; kfp.local walks it. What kfp and the steps print goes to the run's
`log.txt`; the console shows the run's events.
"""

import contextlib
import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from pipelines.display import LogFormat, shown
from spavl.digests import file_digest, folder_digest
from spavl.errors import FAULT_OF_OURS, TRY_AGAIN, InputError, SpavlError
from spavl.shards import write_json

REQUEST = "request.json"
SUMMARY = "summary.json"


@dataclass(frozen=True)
class RunRequest:
    """What a run was asked to do; kept in its folder so that it can be resumed.

    Attributes:
        profile: Profile's name.
        overrides: `stage.key=value` each.
        images: Absolute folder of the user's pictures; empty for none.
        classes: Absolute path of the user's CSV of classes; empty for none.
    """

    profile: str
    overrides: tuple[str, ...]
    images: str = ""
    classes: str = ""


class RunFailedError(SpavlError):
    """The DAG failed; carries the failing step's own message and exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def start_run(request: RunRequest, out: Path, name: str | None) -> Path:
    """Make a new run's folder and keep its request there.

    Raises:
        InputError: If a run of that name exists.
    """
    folder = out / (name or datetime.now().strftime(f"{request.profile}-%Y%m%d-%H%M%S"))
    if (folder / REQUEST).exists():
        raise InputError("a run of that name exists", str(folder), "resume it or choose another")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / REQUEST, asdict(request))
    return folder


def latest_unfinished(out: Path) -> tuple[Path, RunRequest]:
    """The newest run without a summary, and what it was asked to do.

    Raises:
        InputError: If there is none.
    """
    requests = sorted(out.glob(f"*/{REQUEST}"), key=lambda path: path.stat().st_mtime)
    unfinished = [path for path in requests if not (path.parent / SUMMARY).exists()]
    if not unfinished:
        raise InputError("no unfinished run", str(out), "start one without --resume")
    content = json.loads(unfinished[-1].read_text())
    content["overrides"] = tuple(content["overrides"])
    return unfinished[-1].parent, RunRequest(**content)


def run_pipeline(
    request: RunRequest, folder: Path, out: Path, log_format: LogFormat
) -> dict[str, Any]:
    """Walk the whole DAG here.

    Args:
        request: What to run.
        folder: The run's folder.
        out: Folder of all runs; their shared work root lies in it.
        log_format: How the run's events are shown.

    Returns:
        The content of summary.json.

    Raises:
        RunFailedError: With the message and exit code of the step that failed.
    """
    (folder / "error.json").unlink(missing_ok=True)
    os.environ.update(_environment(folder, out))
    with (
        (folder / "log.txt").open("a", buffering=1) as log,
        shown(folder, sys.stdout, log_format),
        _printing_to(log),
        _sigterm_ends_run(),
    ):
        try:
            _walk(request, folder)
        except SpavlError:
            raise
        except Exception as error:
            traceback.print_exc(file=log)
            raise _failure(folder, error) from error
    summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
    return summary


def inputs_digest(request: RunRequest) -> str:
    """Digest of the user's pictures and classes; empty where there are none.

    Raises:
        InputError: If the folder or the file is not there.
    """
    digest = ""
    if request.images:
        if not Path(request.images).is_dir():
            raise InputError("no such folder", request.images, "give a folder of pictures")
        digest = folder_digest(Path(request.images))
    if request.classes:
        if not Path(request.classes).is_file():
            raise InputError("no such file", request.classes, "give a CSV of file,class")
        digest += file_digest(Path(request.classes))
    return digest


def _walk(request: RunRequest, folder: Path) -> None:
    digest = inputs_digest(request)
    warnings.filterwarnings("ignore")  # kfp: "python" is not in our images' names
    from kfp import local

    from pipelines.spa_vl import spa_vl

    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder / "kfp"),
        workspace_root=str(folder / "kfp-workspace"),
    )
    spa_vl(
        profile=request.profile,
        overrides=list(request.overrides),
        images=request.images,
        images_digest=digest,
        classes=request.classes,
    )


def _environment(folder: Path, out: Path) -> dict[str, str]:
    return {
        "SPAVL_RUN_FOLDER": str(folder),
        "SPAVL_RUN_ID": folder.name,
        "SPAVL_WORK_ROOT": os.environ.get("SPAVL_WORK_ROOT", str(out / ".work")),
        "SPAVL_PARENT": str(os.getpid()),
        "MLFLOW_TRACKING_URI": os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{out}/mlflow.db"),
        # Idle threads of one step must not spin on the core that another step needs.
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "1"),
        "PYTHONHASHSEED": "0",
    }


def _failure(folder: Path, error: Exception) -> RunFailedError:
    log = folder / "log.txt"
    try:
        told = json.loads((folder / "error.json").read_text())
    except FileNotFoundError:
        return RunFailedError(
            f"a step ended without saying why ({error}): see {log}", FAULT_OF_OURS
        )
    hint = "" if told["expected"] else f" (a fault of ours: see {log})"
    return RunFailedError(f"{told['stage']}: {told['message']}{hint}", told["exit_code"])


@contextlib.contextmanager
def _printing_to(log: TextIO) -> Iterator[None]:
    """What kfp and the steps print goes to the log."""
    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        yield


@contextlib.contextmanager
def _sigterm_ends_run() -> Iterator[None]:
    """SIGTERM leaves a resumable run, with the exit code that says so."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise RunFailedError("terminated: resume with spavl run --resume", TRY_AGAIN)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
