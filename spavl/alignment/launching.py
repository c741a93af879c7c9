"""Training in several processes: a stage writes what is to be done, starts them, waits, passes on.

A task is a file: a function of a room and its arguments as JSON. `spavl.alignment.worker` does it
in each process; the leader leaves the result, whoever fails leaves its error. The same files serve
processes of this machine and pods of a TrainJob, which see the same work folder.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from spavl.alignment.failures import raise_failure
from spavl.alignment.process_works import KEEP, SECONDS_BETWEEN_LOOKS, TASK_FOLDER
from spavl.alignment.processes import RENDEZVOUS
from spavl.alignment.signals import termination_deferred
from spavl.errors import TRY_AGAIN, InputError
from spavl.settings.alignment import AlignmentSettings, require_deepspeed
from spavl.shards import write_json
from spavl.storage import is_s3
from spavl.work import Work

TASK = "task.json"
RESULT = "result.json"
SECONDS_TO_END = 60.0  # for the others, once one process has ended on purpose


@dataclass(frozen=True)
class Node:
    """One machine of a training.

    Attributes:
        processes: Processes on each machine.
        rendezvous: Where all meet, as torch.distributed's `init_method`.
        number: This machine's number, from 0.
        nodes: How many there are.
    """

    processes: int
    rendezvous: str
    number: int = 0
    nodes: int = 1


def train_in_processes(
    work: Work,
    settings: AlignmentSettings,
    function: Callable[..., dict[str, Any]],
    **arguments: Any,
) -> dict[str, Any]:
    """Call `function(work, settings, **arguments)` in as many processes as the settings ask for.

    Args:
        work: The stage's work.
        settings: A trainer's settings.
        function: A room's training; its annotations say what its arguments are made of again.
        arguments: Its other arguments; dataclasses and plain values.

    Returns:
        What the function gives in the leading process.

    Raises:
        InputError: If this machine cannot do what the settings ask for.
        TerminatedError: After SIGTERM, when the step under way was done and kept.
        TrainingFailedError: If a process failed; the others are ended.
    """
    require_possible(settings, work.stage.name)
    if settings.num_processes == settings.num_nodes == 1 and not settings.zero_stage:
        return function(work, settings, **arguments)
    folder = write_task(work, function, {"settings": settings, **arguments})
    if settings.num_nodes > 1:
        _run_nodes(work, settings, folder)
    else:
        with _meeting_place() as rendezvous:
            node = Node(settings.num_processes, rendezvous)
            run_node(folder, node, meanwhile=lambda: _keep_if_asked(work, folder / KEEP))
    result: dict[str, Any] = json.loads((folder / RESULT).read_text())
    shutil.rmtree(folder)
    return result


def write_task(
    work: Work, function: Callable[..., dict[str, Any]], arguments: Mapping[str, Any]
) -> Path:
    """Write what the processes are to do.

    Args:
        work: The stage's work.
        function: A room's training.
        arguments: By name, but for the work.

    Returns:
        The task's folder.
    """
    folder = work.folder / TASK_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    task = {
        "function": f"{function.__module__}:{function.__name__}",
        "stage": asdict(work.stage),
        "work": str(work.folder),
        "arguments": {
            name: TypeAdapter(type(value)).dump_python(value, mode="json")
            for name, value in arguments.items()
        },
    }
    write_json(folder / TASK, task)
    return folder


def _run_nodes(work: Work, settings: AlignmentSettings, folder: Path) -> None:
    if is_s3(root := os.environ.get("SPAVL_WORK_ROOT", "")):
        raise InputError(
            "several nodes want a work folder that all see", root, "name one on a shared volume"
        )
    from spavl.alignment.following import own_cluster, run_train_job
    from spavl.alignment.train_job import train_job, train_job_name

    cluster = own_cluster(work.stage.name)
    name = train_job_name(work.stage.name, work.stage.digest)
    run_train_job(cluster, train_job(name, folder, settings, cluster.own_pod()), folder, work.note)


def require_possible(settings: AlignmentSettings, stage: str) -> None:
    """Check that this machine can train as the settings ask.

    Args:
        settings: A trainer's settings.
        stage: Its name, for the error.

    Raises:
        InputError: If DeepSpeed is wanted and not installed, or GPUs are too few.
    """
    if settings.zero_stage:
        require_deepspeed(settings.zero_stage, stage)
    if settings.num_processes > 1 and settings.device != "cpu":
        import torch

        gpus = torch.cuda.device_count()
        if gpus and gpus < settings.num_processes:
            raise InputError(
                f"num_processes is {settings.num_processes}, and there are {gpus} GPUs",
                f"{stage}.num_processes",
                "take one process a GPU",
            )


def _keep_if_asked(work: Work, asked: Path) -> None:
    if asked.exists():
        work.keep()
        asked.unlink()


def run_node(folder: Path, node: Node, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Run one machine's processes to their end; none is left, however it comes.

    SIGTERM is passed on to them, and they are waited for.

    Args:
        folder: Holds the task.
        node: Which processes.
        meanwhile: Called again and again while they run.

    Raises:
        TerminatedError: If they kept what they had done and ended.
        TrainingFailedError: If one failed.
    """
    with termination_deferred() as terminated:
        processes = [_start(folder, node, local) for local in range(node.processes)]
        try:
            _wait(processes, terminated, meanwhile)
        finally:
            codes = [process.poll() for process in processes]
            for process in processes:
                process.kill()
                process.wait()
    first = node.number * node.processes
    raise_failure(folder, {n: code for n, code in enumerate(codes, first) if code})


def _start(folder: Path, node: Node, local: int) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "RANK": str(node.number * node.processes + local),
        "LOCAL_RANK": str(local),
        "WORLD_SIZE": str(node.nodes * node.processes),
        RENDEZVOUS: node.rendezvous,
        "SPAVL_PARENT": str(os.getpid()),
    }
    environment.pop("SPAVL_PARENT_LOCK", None)  # the step watches it, and processes the step
    return subprocess.Popen(
        [sys.executable, "-m", "spavl.alignment.worker", str(folder)], env=environment
    )


def _wait(
    processes: Sequence[subprocess.Popen[bytes]],
    terminated: Callable[[], bool],
    meanwhile: Callable[[], None],
) -> None:
    """Until all have ended, or one has failed and the others had their time to end."""
    passed_on, deadline = False, float("inf")
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        failed = [process.returncode for process in processes if process.returncode]
        if failed and deadline == float("inf"):
            # One that was told to end has agreed with the others on it.
            seconds = SECONDS_TO_END if set(failed) == {TRY_AGAIN} else SECONDS_BETWEEN_LOOKS
            deadline = time.monotonic() + seconds
        if terminated() and not passed_on:
            passed_on = True
            for process in processes:
                process.terminate()
        meanwhile()
        time.sleep(SECONDS_BETWEEN_LOOKS)


@contextmanager
def _meeting_place() -> Iterator[str]:
    """A file: no port need be free."""
    with tempfile.TemporaryDirectory(prefix="spavl-") as folder:
        yield f"file://{folder}/meeting"
