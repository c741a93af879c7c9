"""What travels by environment variable, because as a parameter it would spoil the cache.

| variable | meaning |
|---|---|
| `SPAVL_WORK_ROOT` | folder where stages work and keep finished work, or `s3://bucket/prefix` |
| `SPAVL_SCRATCH` | with work on S3: folder of this machine for copies; may be lost at any time |
| `SPAVL_KEEP_SECONDS` | with work on S3: seconds between two copies of unfinished work, at least |
| `SPAVL_LEASE_SECONDS` | with work on S3: silence after which a stage's writer counts as dead |
| `SPAVL_RUN_FOLDER` | folder of this run: progress, errors, seconds, the report |
| `SPAVL_RUNS` | in a cluster: folder of all runs; a run's own is named by its id below it |
| `SPAVL_RUN_ID` | id of this run; on a cluster the pod's `pipeline/runid` label |
| `SPAVL_ATTEMPT_ERROR` | in a pod: file that a stage leaves its error in for its supervisor |
| `SPAVL_CACHE` | the user's cache folder, for what outlives a work root (trained pocket bases) |
| `SPAVL_LOG` | `json`: steps print their events as lines of JSON, for pods |
| `SPAVL_METRICS_PORT` | port at which a stage answers Prometheus, see `spavl.metrics` |
| `SPAVL_PARENT` | process id of the command line; steps die with it |
| `SPAVL_PARENT_LOCK` | in containers, instead: the file that the command line keeps locked |
"""

import os
import select
import signal
import threading
from pathlib import Path

from spavl.addresses import require_known


def cache_folder() -> Path:
    """The user's cache folder of this project."""
    from platformdirs import user_cache_path

    named = os.environ.get("SPAVL_CACHE")
    return Path(named) if named else user_cache_path("spavl", appauthor=False)


def work_root() -> Path:
    """Where stages work; below the user's cache folder unless named.

    Where the work root is on S3, it is the folder of this machine that stands for it.
    """
    named = os.environ.get("SPAVL_WORK_ROOT")
    if named and named.startswith("s3://"):
        return scratch_folder() / named.removeprefix("s3://")
    named = named and require_known(named, "SPAVL_WORK_ROOT").removeprefix("file://")
    return Path(named) if named else cache_folder() / "work"


def scratch_folder() -> Path:
    """Where copies of what lies on S3 are kept: `s3://bucket/name` as `bucket/name` below it."""
    named = os.environ.get("SPAVL_SCRATCH")
    return Path(named).resolve() if named else (cache_folder() / "s3").resolve()


def keep_seconds() -> float:
    """Seconds between two times that unfinished work is brought to S3, at least."""
    return float(os.environ.get("SPAVL_KEEP_SECONDS") or 10.0)


def lease_seconds() -> float:
    """Seconds of silence after which a stage's writer on S3 counts as dead."""
    return float(os.environ.get("SPAVL_LEASE_SECONDS") or 60.0)


def run_folder() -> Path | None:
    """This run's folder; None outside a run, e.g. when a stage is called from a notebook."""
    named = os.environ.get("SPAVL_RUN_FOLDER")
    if named:
        return Path(named)
    runs, run = os.environ.get("SPAVL_RUNS"), os.environ.get("SPAVL_RUN_ID")
    return Path(runs, run) if runs and run else None


def attempt_error_file() -> Path | None:
    """Where a supervised stage says what ended it; None where nobody would start it again."""
    named = os.environ.get("SPAVL_ATTEMPT_ERROR")
    return Path(named) if named else None


def die_with_parent() -> None:
    """End this step when the command line that started it ends, even by kill -9.

    A thread waits on the command line's process descriptor: the kernel's parent-death signal would
    only watch the shell in between. Does nothing where no command line waits for the step.
    """
    if lock := os.environ.get("SPAVL_PARENT_LOCK"):
        _die_when_released(lock)
        return
    parent = os.environ.get("SPAVL_PARENT")
    if parent is None or not hasattr(os, "pidfd_open"):
        return
    try:
        descriptor = os.pidfd_open(int(parent))
    except ProcessLookupError:
        os.kill(os.getpid(), signal.SIGKILL)
        return

    def wait_and_die() -> None:
        select.select([descriptor], [], [])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait_and_die, name="die-with-parent", daemon=True).start()


def _die_when_released(lock: str) -> None:
    """End this process when nobody holds the lock any more; the kernel lets go of a dead one's."""
    import fcntl

    descriptor = os.open(lock, os.O_RDONLY)

    def wait_and_die() -> None:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        os._exit(1)  # a container's first process takes no signal from itself

    threading.Thread(target=wait_and_die, name="die-with-parent", daemon=True).start()
