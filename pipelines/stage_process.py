"""What a stage's pod runs: the stage in a process of its own, started again after a passing fault.

KFP 2.17 retries a pod that was deleted, but neither one whose process ended by an exit code nor
one that was killed (its `templateDefaults` say `OnError`). So the stage's process is watched from
within the pod: ended by a signal, by its memory limit or by a fault that may pass, it is started
again and goes on from its journal or checkpoint. The launcher's downloads and uploads stay outside.

Usage: python3 -m pipelines.stage_process components.dpo.component:train_dpo --executor_input JSON
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.memory_limit import MemoryLimit
from spavl.child_processes import ends_with_this_process
from spavl.environment import run_folder
from spavl.errors import BAD_INPUT, DONE, FAULT_OF_OURS, TRY_AGAIN, InputError, SpavlError
from spavl.events import EventReader, tell
from spavl.pod_environment import load_pod_environment
from spavl.work import keep_error, report_error

REQUIRED_KEYS = ("SPAVL_WORK_ROOT", "SPAVL_RUNS", "SPAVL_CACHE", "SPAVL_LOG")
ATTEMPTS = 4
SECONDS_BETWEEN_LOOKS = 0.2
LONGEST_WAIT_FOR_S3_SECONDS = 900.0


@dataclass(frozen=True)
class Patience:
    """How often a stage is started, and how long is waited before the second time.

    Attributes:
        attempts: Times that it is started at most.
        pause: Seconds before the second attempt; doubled before each further one.
    """

    attempts: int = ATTEMPTS
    pause: float = 30.0


@dataclass(frozen=True)
class End:
    """How a stage's process ended.

    Attributes:
        stage: The stage's name as events tell it.
        exit_code: One of `spavl.errors`; `TRY_AGAIN` for a process that was killed.
        reason: Why it ended otherwise than well, in words.
        words: What the stage itself said of it, as `error.json` keeps it; empty if it could not.
    """

    stage: str
    exit_code: int
    reason: str = ""
    words: Mapping[str, Any] = field(default_factory=dict)


def supervise(command: Sequence[str], name: str, patience: Patience, limit: MemoryLimit) -> End:
    """Run a stage until it is done or trying again makes no sense.

    Bad input is final. So is a fault that ends two attempts in a row with the same words.

    Args:
        command: Starts the stage.
        name: What the stage is called until its events tell its name.
        patience: How often it is started.
        limit: The memory that it may use.
    """
    before = ""
    for attempt in range(1, patience.attempts + 1):
        end = _attempt(command, name, limit)
        settled = end.exit_code in (DONE, BAD_INPUT)
        repeated = end.exit_code == FAULT_OF_OURS and end.reason == before
        if settled or repeated or attempt == patience.attempts:
            return end
        before = end.reason
        pause = patience.pause * 2 ** (attempt - 1)
        text = f"{end.reason}: attempt {attempt + 1} of {patience.attempts} in {pause:.0f} s"
        tell(end.stage, "note", text=f"{text}, from where it was")
        time.sleep(pause)
    raise AssertionError("no attempt was made")


def _attempt(command: Sequence[str], name: str, limit: MemoryLimit) -> End:
    folder = run_folder()
    events = EventReader(folder, skip=True) if folder else None
    with tempfile.TemporaryDirectory() as scratch:
        error = Path(scratch) / "error.json"
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=ends_with_this_process(),
            env={**os.environ, "SPAVL_ATTEMPT_ERROR": str(error)},
        )
        full = _wait(process, limit)
        words = json.loads(error.read_text()) if error.exists() else {}
    for event in events.new() if events else ():
        if event["event"] == "started" and event.get("process") == process.pid:
            name = str(event["stage"])
    return _end(name, process.returncode, full, words)


def _wait(process: "subprocess.Popen[bytes]", limit: MemoryLimit) -> bool:
    """Wait for the end; whether the memory limit had to end it.

    The kernel would end the whole container, and nothing in it could start the stage again.
    """
    full = False
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_BETWEEN_LOOKS)
            break
        if limit.reached():
            full = True
            _kill_group(process.pid)
    _kill_group(process.pid)  # what it started and left behind
    return full


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _end(stage: str, code: int, full: bool, words: Mapping[str, Any]) -> End:
    if full:
        return End(stage, TRY_AGAIN, "the pod's memory limit was reached")
    if code == 0:
        return End(stage, DONE)
    if code < 0:
        return End(stage, TRY_AGAIN, f"killed by signal {-code}")
    if words:
        return End(str(words["stage"]), int(words["exit_code"]), str(words["message"]), words)
    known = code if code in (BAD_INPUT, TRY_AGAIN) else FAULT_OF_OURS
    return End(stage, known, f"ended with exit code {code}")


def _tell_failure(end: End) -> None:
    """The last attempt's end becomes the run's, and the pod's last line."""
    print(f"spavl: {end.stage}: {end.reason}", file=sys.stderr)
    if (folder := run_folder()) is None:
        return
    plain = {"stage": end.stage, "exit_code": end.exit_code, "message": end.reason}
    keep_error(folder, end.words or {**plain, "expected": True, "trace": ""})


def wait_for_s3(patience: float = LONGEST_WAIT_FOR_S3_SECONDS) -> None:
    """Wait until S3 takes a connection, without which the launcher's upload ends the run."""
    place = urlsplit(os.environ.get("AWS_ENDPOINT_URL", ""))
    if not place.hostname:
        return
    address = (place.hostname, place.port or (443 if place.scheme == "https" else 80))
    until, told = time.monotonic() + patience, False
    while time.monotonic() < until:
        try:
            socket.create_connection(address, timeout=5).close()
            return
        except OSError as error:
            if not told:
                tell("stage", "note", text=f"S3 does not answer ({error}): waiting for it")
            told = True
            time.sleep(2)


def check_pod() -> None:
    """See that the pod has what every stage needs.

    Raises:
        InputError: Names the key or the volume.
    """
    for key in REQUIRED_KEYS:
        if not os.environ.get(key):
            remedy = "install the chart into this namespace, or add the key"
            raise InputError("a key is missing", f"ConfigMap spa-vl-environment: {key}", remedy)
    for folder in filter(None, (run_folder(), Path(os.environ["SPAVL_CACHE"]))):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f".probe-{os.getpid()}").touch()
            (folder / f".probe-{os.getpid()}").unlink()
        except OSError as error:
            remedy = f"give user {os.getuid()} the right to write, as the chart's volume job does"
            raise InputError(
                f"the volume may not be written: {error.strerror}", str(folder), remedy
            ) from None


def run_component(reference: str, executor_input: str) -> None:
    """Run a component's function as KFP's executor does.

    Args:
        reference: `module:function`.
        executor_input: KFP's JSON.
    """
    import importlib

    os.environ["_KFP_RUNTIME"] = "true"
    from kfp import dsl
    from kfp.dsl.executor import Executor

    # At run time kfp.dsl has no decorator; here the function itself is wanted.
    dsl.component = lambda **_: lambda function: function
    module, _, function = reference.partition(":")
    target = getattr(importlib.import_module(module), function)
    try:
        Executor(executor_input=json.loads(executor_input), function_to_execute=target).execute()
    except Exception as error:
        report_error(function, error)  # unless the stage has told its own
        if not isinstance(error, SpavlError):
            raise
        sys.exit(error.exit_code)


def main() -> None:
    """Run the stage that the command line names, and end with its exit code."""
    parser = argparse.ArgumentParser(description="A stage of SPA-VL in a pod")
    parser.add_argument("component", help="module:function")
    parser.add_argument("--executor_input", required=True, help="KFP's JSON")
    parser.add_argument("--inside", action="store_true", help="run it in this process")
    arguments = parser.parse_args()
    try:
        if arguments.inside:
            run_component(arguments.component, arguments.executor_input)
            return
        load_pod_environment()
        check_pod()
    except SpavlError as error:
        print(f"spavl: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    command = [sys.executable, "-m", "pipelines.stage_process", *sys.argv[1:], "--inside"]
    name = arguments.component.partition(":")[2]
    end = supervise(command, name, Patience(), MemoryLimit.of_this_container())
    if end.exit_code == DONE:
        wait_for_s3()
    else:
        _tell_failure(end)
    sys.exit(end.exit_code)


if __name__ == "__main__":
    main()
