"""Work that survives: each stage works in a folder named by what its result depends on.

`work_root/<stage>/<digest>` where the digest covers the stage's code closure, settings and inputs.
One writer at a time holds its lock. `commit.json` is written last: with it, the work is finished
and any later run with the same digest takes it as it is; without it, the next run goes on from the
journal or checkpoint it finds. Kubeflow's output artifacts are published from there at the end.
Where the work root is on S3, the folder is this machine's copy of the work there (`spavl.storage`).
"""

import errno
import gc
import json
import os
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from spavl.digests import code_digest, json_digest
from spavl.environment import attempt_error_file, die_with_parent, run_folder, work_root
from spavl.errors import BAD_INPUT, FAULT_OF_OURS, BusyError, CorruptShardError, SpavlError
from spavl.events import tell
from spavl.metrics import exposed
from spavl.secrets import mask_traces, masked, masked_tree
from spavl.shards import DatasetWriter, link_or_copy, write_json
from spavl.storable import read_json
from spavl.storage import Twin, local_copy, twin_of, uri_of
from spavl.tracking.launch import followed

COMMIT = "commit.json"
ERROR = "error.json"
LOCK_PATIENCE_SECONDS = 3600.0
SECONDS_BETWEEN_PROGRESS = 5.0
OF_NO_MATTER = ("budget", "expected_tokens", "picture_tokens", "characters_per_token")
"""Settings about what calls may cost, not about what comes of them."""


@dataclass(frozen=True)
class Reference:
    """A thing too large to pass as an artifact: where it is, and the digest of what it holds."""

    uri: str
    digest: str


def what_matters(settings: Any) -> Any:
    """Settings without those that no result depends on, at any depth."""
    if isinstance(settings, Mapping):
        kept = {name: each for name, each in settings.items() if name not in OF_NO_MATTER}
        return {name: what_matters(each) for name, each in kept.items()}
    if isinstance(settings, list | tuple):
        return [what_matters(each) for each in settings]
    return settings


@dataclass(frozen=True)
class Stage:
    """What a stage's result depends on.

    Attributes:
        name: The stage, with the instance where there are several, e.g. `answers-dpo`.
        module: Dotted name of the module whose import closure makes the result.
        settings: Validated settings (a pydantic model's dump).
        inputs: Name to content digest of every input.
    """

    name: str
    module: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]

    @cached_property
    def digest(self) -> str:
        """Hex digest over code, settings and inputs."""
        return json_digest(
            {
                "stage": self.name,
                "code": code_digest(self.module),
                "settings": what_matters(dict(self.settings)),
                "inputs": dict(self.inputs),
            }
        )

    @property
    def made_by(self) -> dict[str, Any]:
        """What a manifest says of the stage that made it."""
        return {
            "stage": self.name,
            "code": code_digest(self.module),
            "settings": json_digest(what_matters(dict(self.settings))),
        }


class Work:
    """A stage's own folder while it works.

    Attributes:
        folder: The folder; finished sub-folders in it can be published.
        seconds: Seconds spent on named things apart from the work, e.g. `imports`.
    """

    def __init__(self, stage: Stage, folder: Path, twin: Twin | None = None) -> None:
        self.stage = stage
        self.folder = folder
        self._twin = twin
        self.seconds: dict[str, float] = {}
        self._last_progress = 0.0

    @property
    def checkpoint(self) -> Path:
        """Folder for a trainer's state; removed when the work is committed."""
        path = self.folder / "checkpoint"
        path.mkdir(exist_ok=True)
        return path

    def writer(self, name: str, record: type) -> DatasetWriter:
        """A data set in this work's folder that names the stage and its inputs."""
        return DatasetWriter(self.folder / name, record, self.stage.made_by, self.stage.inputs)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Append one step's metrics, with the time in seconds since 1970, to `curves.jsonl`."""
        figures = {name: float(value) for name, value in metrics.items()}
        line = json.dumps({"step": step, "time": round(time.time(), 3), **figures})
        with (self.folder / "curves.jsonl").open("a") as stream:
            stream.write(line + "\n")

    def progress(self, done: int, total: int, unit: str, **metrics: float) -> None:
        """Say how far the stage is, at most every few seconds; unfinished work goes to S3 then."""
        self.keep()
        now = time.monotonic()
        if done < total and now - self._last_progress < SECONDS_BETWEEN_PROGRESS:
            return
        self._last_progress = now
        figures = {name: float(value) for name, value in metrics.items()}
        tell(self.stage.name, "progress", done=done, total=total, unit=unit, metrics=figures)

    def keep(self) -> None:
        """Bring unfinished work to S3, now and then."""
        if self._twin is not None and (trouble := self._twin.keep_now_and_then()):
            self.note(f"going on, and kept here for now: {trouble}")

    def note(self, text: str) -> None:
        """Say what a reader of the run should know, e.g. that a slower way was taken."""
        tell(self.stage.name, "note", text=text)

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Import what the stage needs; the seconds are told as `imports`, apart from the work.

        Some 400,000 objects of libraries come to stay. Looking for garbage among them takes a
        third of their import, and a second more when the process ends.
        """
        start = time.monotonic()
        gc.disable()
        try:
            yield
        finally:
            gc.enable()
            if not gc.get_freeze_count():
                gc.freeze()
            self.seconds["imports"] = self.seconds.get("imports", 0.0) + time.monotonic() - start


def run_stage(
    stage: Stage,
    body: Callable[[Work], Mapping[str, Any]],
    publish: Mapping[str, str | Path] | None = None,
) -> dict[str, Any]:
    """Do a stage's work once and publish its outputs.

    Args:
        stage: What the result depends on.
        body: Does the work in `work.folder`; its JSON result is kept with the commit. Called only
            when this work is not finished yet.
        publish: Names in the work folder to the output paths they are copied to (hard links where
            the file system allows).

    Returns:
        The body's result.

    Raises:
        BusyError: If another process holds this work for an hour.
    """
    die_with_parent()
    mask_traces()
    with followed(stage.name), exposed(stage.name):
        try:
            folder = work_root() / stage.name / stage.digest[:32]
            commit = _locked_commit(stage, folder, body)
            for name, target in (publish or {}).items():
                publish_path(local_copy(uri_of(folder / name)), Path(target))
            return dict(commit["result"])
        except Exception as error:
            report_error(stage.name, error)
            if isinstance(error, CorruptShardError):
                _withdraw(error.path)
            raise


def stage_uri(stage: Stage) -> str:
    """Where a stage's finished work lies, for other machines too; for outputs passed on by URI."""
    return uri_of(work_root() / stage.name / stage.digest[:32])


def publish_path(source: Path, target: Path) -> None:
    """Give a finished file or folder a second name, by hard links where possible."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=link_or_copy, dirs_exist_ok=True)
    else:
        link_or_copy(str(source), str(target))


def report_error(stage: str, error: Exception) -> None:
    """Say what ended a stage: in the run's folder, where the command line reads its exit code.

    Under a supervisor it is left to that one, which may start the stage again.
    """
    folder = run_folder()
    if folder is None:
        return
    words = _words(stage, error, folder)
    if attempt := attempt_error_file():
        if not attempt.exists():
            write_json(attempt, words)
    else:
        keep_error(folder, words)


def keep_error(folder: Path, words: Mapping[str, Any]) -> None:
    """Leave `error.json` in a run's folder, unless another stage's is there, and tell of it."""
    if (folder / ERROR).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / ERROR, words)
    tell(words["stage"], "failed", message=words["message"], exit_code=words["exit_code"])


def _words(stage: str, error: Exception, folder: Path) -> dict[str, Any]:
    exit_code = error.exit_code if isinstance(error, SpavlError) else FAULT_OF_OURS
    message = str(error) or type(error).__name__
    if full := _disk_is_full(error):
        exit_code = BAD_INPUT
        message = f"no space left ({folder}): free some, then spavl run --resume"
    refused = _file_is_refused(error)
    if refused:
        exit_code, message = BAD_INPUT, refused
    return {
        "stage": stage,
        "exit_code": exit_code,
        "message": masked(message),
        "expected": full or bool(refused) or isinstance(error, SpavlError),
        "trace": masked("".join(traceback.format_exception(error))),
    }


def _disk_is_full(error: Exception) -> bool:
    """Libraries wrap the system's error in their own, so the words count too."""
    full = {errno.ENOSPC, errno.EDQUOT}
    return getattr(error, "errno", None) in full or "No space left" in str(error)


def _file_is_refused(error: Exception) -> str:
    """The line for a file or folder that may not be read or written; empty for other errors."""
    if not isinstance(error, OSError) or not error.filename:
        return ""
    if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ""
    reason, remedy = error.strerror, "mend its permissions, then spavl run --resume"
    return f"this account may not use it: {reason} ({error.filename}): {remedy}"


def _withdraw(path: Path) -> None:
    """Take back the commit of the work that a corrupt file belongs to, so that it is done anew.

    A published file is the same file as the work's own, by hard link; where it is a copy, the work
    is sound and publishes it again.
    """
    for folder in _works_with(path):
        if twin := twin_of(folder, COMMIT):
            twin.withdraw(path)
        (folder / COMMIT).unlink(missing_ok=True)


def _works_with(path: Path) -> Iterator[Path]:
    """Folders of works that a file lies in, by its own name or by another."""
    if path.is_relative_to(work_root()):
        stage, digest, *_ = path.relative_to(work_root()).parts
        yield work_root() / stage / digest
    elif path.exists():
        for commit in work_root().glob(f"*/*/{COMMIT}"):
            if any(twin.samefile(path) for twin in commit.parent.rglob(path.name)):
                yield commit.parent


def _locked_commit(
    stage: Stage, folder: Path, body: Callable[[Work], Mapping[str, Any]]
) -> dict[str, Any]:
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    twin = twin_of(folder, COMMIT)
    try:
        with ExitStack() as held:
            lock = FileLock(folder.with_name(folder.name + ".lock"), timeout=LOCK_PATIENCE_SECONDS)
            with suppress(Timeout):
                lock.acquire(timeout=0)
            if not lock.is_locked:
                tell(stage.name, "note", text="another process works on it: waiting for its end")
                lock.acquire()
            held.callback(lock.release)
            if twin:
                held.enter_context(twin.held(LOCK_PATIENCE_SECONDS))
            kept = _read_commit(folder)
            reused = kept is not None
            commit = _do(stage, folder, body, twin) if kept is None else kept
    except Timeout:
        raise BusyError(
            f"another process works on {stage.name} ({folder}): try again when it has ended"
        ) from None
    _tell_run(stage, folder, commit, reused)
    return commit


def _do(
    stage: Stage, folder: Path, body: Callable[[Work], Mapping[str, Any]], twin: Twin | None
) -> dict[str, Any]:
    work = Work(stage, folder, twin)
    start = time.monotonic()
    told = {"settings": dict(stage.settings), "inputs": dict(stage.inputs)}
    tell(stage.name, "started", work=str(folder), process=os.getpid(), **told)
    try:
        result = dict(body(work))
    except Exception:
        with suppress(SpavlError):
            if twin:  # whatever ended the work, what was done can be gone on from elsewhere
                twin.keep()
        raise
    imports = work.seconds.get("imports", 0.0)
    commit = {
        "stage": stage.name,
        "made_by": stage.made_by,
        "settings": masked_tree(stage.settings),
        "inputs": dict(stage.inputs),
        "result": result,
        "seconds": round(time.monotonic() - start - imports, 3),
        "imports": round(imports, 3),
    }
    write_json(folder / COMMIT, commit)
    if twin:
        twin.finish()
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return commit


def _read_commit(folder: Path) -> dict[str, Any] | None:
    """The commit; None where the work is not finished.

    Raises:
        CorruptShardError: It is damaged.
    """
    try:
        content = read_json((folder / COMMIT).read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("result"), dict):
        raise CorruptShardError("damaged commit", folder / COMMIT)
    return content


def _tell_run(stage: Stage, work: Path, commit: Mapping[str, Any], reused: bool) -> None:
    """Leave the stage's commit in the run folder, for the report and for tracking."""
    folder = run_folder()
    if folder is not None:
        stages = folder / "stages"
        stages.mkdir(parents=True, exist_ok=True)
        write_json(stages / f"{stage.name}.json", {**commit, "work": str(work), "reused": reused})
    if reused:
        tell(stage.name, "kept", work=str(work))
    else:
        told = {name: commit[name] for name in ("seconds", "imports")}
        tell(stage.name, "done", work=str(work), **told)
