"""Running the DAG on this machine: every task a subprocess, or a container; no cluster.

The DAG is the compiled one; kfp.local walks it. What kfp and the steps print goes to the run's
`log.txt`; the console shows the run's events.
"""

import contextlib
import json
import os
import shutil
import sys
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from components.configuration import portable_profile, profile_label, resolve
from pipelines.display import LogFormat, shown
from pipelines.run_folders import FINISHED, new_folder, unfinished
from pipelines.termination import sigterm_ends_run
from spavl.champion import OvertakenError
from spavl.errors import (
    BAD_INPUT,
    FAULT_OF_OURS,
    BusyError,
    InputError,
    SpavlError,
)
from spavl.files import write_whole
from spavl.published.sources import addresses_of
from spavl.secrets import MaskedStream, masked, masked_tree
from spavl.shards import write_json
from spavl.storage import is_s3
from spavl.tracking.address import default_uri
from spavl.tracking.launch import tracked

REQUEST = "request.json"
SUMMARY = "summary.json"
OVERTAKEN = 3
"""Times that the gate is asked, while other runs' models become champion before this one's."""
SETTINGS = "settings.json"
FULL_BELOW_BYTES = 64 * 1024
ON_THIS_MACHINE = ("SPAVL_PARENT", "MLFLOW_TRACKING_URI")


@dataclass(frozen=True)
class RunRequest:
    """What a run was asked to do; kept in its folder so that it can be resumed.

    Attributes:
        profile: Profile's name, or the absolute path of the user's own.
        overrides: `stage.key=value` each.
        images: Absolute folder of the user's pictures; empty for none.
        classes: Absolute path of the user's CSV of classes; empty for none.
        runner: What tasks are: `subprocess` or `docker`.
        data: Address of a data set to start from; empty to make one.
    """

    profile: str
    overrides: tuple[str, ...]
    images: str = ""
    classes: str = ""
    runner: str = "subprocess"
    data: str = ""


class RunFailedError(SpavlError):
    """The DAG failed; carries the failing step's own message and exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def start_run(request: RunRequest, out: Path, name: str | None) -> Path:
    """Make a new run's folder and keep its request there; see `new_folder`."""
    return new_folder(request, REQUEST, out, name, profile_label(request.profile))


def keep_request(request: RunRequest, folder: Path) -> None:
    """Keep what a run is asked to do from now on."""
    write_json(folder / REQUEST, asdict(request))


def unfinished_run(out: Path, name: str | None) -> tuple[Path, RunRequest]:
    """The newest run that has not come to its end, or the named one; see `unfinished`."""
    return unfinished(RunRequest, REQUEST, out, name)


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
    with watched(folder, out, log_format):
        settings = resolve(request.profile, request.overrides)._asdict()
        write_json(folder / SETTINGS, masked_tree(settings))
        _walk_until_compared(request, folder)
    summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
    # The summary is written before the champion is published; this says that all is done.
    write_json(folder / FINISHED, {"decision": summary["decision"]})
    return summary


@contextlib.contextmanager
def watched(folder: Path, out: Path, log_format: LogFormat) -> Iterator[None]:
    """Hold a run's folder while the block walks its DAG; show, log and track what happens.

    Args:
        folder: The run's folder.
        out: Folder of all runs; their shared work root lies in it.
        log_format: How the run's events are shown.

    Raises:
        RunFailedError: With the message and exit code of the step that failed.
    """
    os.environ.update(_environment(folder, out))
    try:
        with (
            _alone(folder),
            _shown_and_logged(folder, log_format),
            sigterm_ends_run(),
            tracked(folder),
        ):
            (folder / "error.json").unlink(missing_ok=True)
            yield
    except SpavlError:
        raise
    except Exception as error:
        raise _failure(folder, error) from error
    finally:
        _mask_left_overs(folder / "kfp")


def _mask_left_overs(folder: Path) -> None:
    """Mask what kfp keeps of its tasks' settings; a run that goes on writes them anew."""
    for path in folder.rglob("*.json"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            text = path.read_text(encoding="utf-8")
            if (safe := masked(text)) != text:
                write_whole(path, safe.encode(), sync=False)


def _walk_until_compared(request: RunRequest, folder: Path) -> None:
    """Walk again where another run's model became champion between the gate and publishing.

    Finished work is kept: the new champion answers, and the gate compares with it.
    """
    for _ in range(OVERTAKEN - 1):
        try:
            return _walk(request, folder)
        except RuntimeError:
            if not _overtaken(folder / "error.json"):
                raise
    return _walk(request, folder)


def _overtaken(error: Path) -> bool:
    told = json.loads(error.read_text()) if error.exists() else {}
    overtaken = told.get("stage") == "publish" and OvertakenError.MARK in told["message"]
    if overtaken:
        error.unlink()
    return overtaken


def _walk(request: RunRequest, folder: Path) -> None:
    warnings.filterwarnings("ignore")  # kfp: "python" is not in our images' names
    pipeline, arguments = _pipeline(request)
    settings = {"profile": _profile(request), "overrides": list(request.overrides)}
    with _runner(request, folder, pipeline) as runner:
        walk(pipeline, {**settings, **arguments}, folder, runner)


def _pipeline(request: RunRequest) -> tuple[Any, dict[str, str]]:
    """The pipeline that does what was asked for, and what it starts from."""
    if request.data:
        from pipelines.on_data import on_data

        return on_data, {"data": request.data}
    from pipelines.spa_vl import spa_vl

    return spa_vl, {
        "images": request.images,
        "classes": request.classes,
    }


def walk(pipeline: Any, arguments: dict[str, Any], folder: Path, runner: Any) -> None:
    """Let kfp.local walk a compiled pipeline.

    Args:
        pipeline: The pipeline.
        arguments: Its parameters.
        folder: The run's folder.
        runner: What kfp runs tasks with.

    Raises:
        RuntimeError: If a step failed.
    """
    from kfp import local

    _without_retries(pipeline.pipeline_spec)
    local.init(
        runner=runner,
        pipeline_root=str(folder / "kfp"),
        workspace_root=str(folder / "kfp-workspace"),
    )
    pipeline(**arguments)
    # kfp takes a container that is already gone for one that did well.
    if (folder / "error.json").exists():
        raise RuntimeError("a step failed")


def _without_retries(spec: Any) -> None:
    """Take the retries out of a pipeline's specification.

    They are for what befalls a pod. Here a step that failed would fail again, half a minute and a
    minute later.
    """
    for component in (spec.root, *spec.components.values()):
        for task in component.dag.tasks.values():
            task.ClearField("retry_policy")


def _profile(request: RunRequest) -> str:
    """In a container there is no file of the user's, only its text."""
    return portable_profile(request.profile) if request.runner == "docker" else request.profile


@contextlib.contextmanager
def _runner(request: RunRequest, folder: Path, pipeline: Any) -> Iterator[Any]:
    """What kfp runs tasks with, while the block lasts."""
    from kfp import local

    if request.runner == "subprocess":
        yield local.SubprocessRunner(use_venv=False)
        return
    from pipelines.docker_runner import Folders, containers, name_images, require_images

    if is_s3(os.environ["SPAVL_WORK_ROOT"]):
        raise InputError(
            "containers here work in a folder", "SPAVL_WORK_ROOT", "unset it, or give it a folder"
        )
    name_images(pipeline)
    require_images(pipeline)
    work = Path(os.environ["SPAVL_WORK_ROOT"])
    settings = json.loads((folder / SETTINGS).read_text())
    given = _given_paths(request, settings)
    variables = _environment(folder, work.parent)
    # Those two are the command line's business: it tracks the run, and holds a lock.
    kept = {name: value for name, value in variables.items() if name not in ON_THIS_MACHINE}
    with containers(Folders(folder, work, given), kept) as runner:
        yield runner


def _given_paths(request: RunRequest, settings: dict[str, Any]) -> tuple[Path, ...]:
    """Files and folders of the user's that containers are to read."""
    evaluation = settings["evaluation"]
    published = evaluation.get("published", {}).get("folder", "").removeprefix("file://")
    tasks = (evaluation.get("lmms_eval") or {}).get("include_path")
    model = settings["base_model"].get("path")
    paths = (request.images, request.classes, model, published, tasks)
    return tuple(
        Path(path).absolute()
        for path in (*paths, *_data_folders(request.data))
        if path and not is_s3(path)
    )


def _data_folders(data: str) -> tuple[str, ...]:
    """The folders that a data set is read from; a run's own names others."""
    return (data.removeprefix("file://"), *vars(addresses_of(data)).values()) if data else ()


def _environment(folder: Path, out: Path) -> dict[str, str]:
    return {
        "SPAVL_RUN_FOLDER": str(folder),
        "SPAVL_RUN_ID": folder.name,
        "SPAVL_WORK_ROOT": os.environ.get("SPAVL_WORK_ROOT", str(out / ".work")),
        "SPAVL_PARENT": str(os.getpid()),
        "MLFLOW_TRACKING_URI": os.environ.get("MLFLOW_TRACKING_URI") or default_uri(out),
        # Idle threads of one step must not spin on the core that another step needs.
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "1"),
        "PYTHONHASHSEED": "0",
    }


def _failure(folder: Path, error: Exception) -> RunFailedError:
    """The one line for what ended the run: the step's own words, where it could leave any."""
    if shutil.disk_usage(folder).free < FULL_BELOW_BYTES:
        return RunFailedError(
            f"no space left ({folder}): free some, then spavl run --resume", BAD_INPUT
        )
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
def _alone(folder: Path) -> Iterator[None]:
    """Hold the run's folder, so that no other command line goes on with the same run."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise BusyError(
            f"another command line is at this run ({folder}): wait for it, or start another run"
        ) from None


@contextlib.contextmanager
def _log(path: Path) -> Iterator[TextIO]:
    """A file that kfp's and the steps' words go to, secrets masked."""
    with path.open("a", buffering=1) as stream:
        log = MaskedStream(stream)
        try:
            yield cast(TextIO, log)
        finally:
            log.finish()


@contextlib.contextmanager
def _shown_and_logged(folder: Path, log_format: LogFormat) -> Iterator[None]:
    """Show the run's events; what kfp and the steps print goes to the log."""
    with (
        _log(folder / "log.txt") as log,
        shown(folder, sys.stdout, log_format),
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        try:
            yield
        except Exception:
            traceback.print_exc(file=log)
            raise
