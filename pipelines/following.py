"""Following a run to its end: one line a task's change, patience with the connection."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.cluster import RefusedTokenError, UnreachableError, call
from spavl.errors import DONE, FAULT_OF_OURS, TRY_AGAIN

ENDED = {
    "SUCCEEDED": DONE,
    "SKIPPED": DONE,
    "FAILED": FAULT_OF_OURS,
    "CANCELED": TRY_AGAIN,
}
"""Exit code by the last state. The SDK's own waiting does not know that cancelled runs end."""


@dataclass(frozen=True)
class Patience:
    """How a run is asked for.

    Attributes:
        seconds: Between two questions.
        longest: Seconds without an answer until the wait is given up; the run itself goes on.
    """

    seconds: float = 10
    longest: float = 900


def follow(client: Any, run_id: str, patience: Patience, tell: Callable[[str], None]) -> Any:
    """Wait until a run has ended.

    Args:
        client: A `kfp.Client`.
        run_id: The run.
        patience: How often to ask, and how long to bear silence.
        tell: Takes one line for each change.

    Returns:
        The run as it ended.

    Raises:
        InputError: If the server refuses, e.g. a token that ran out and was not renewed in time.
        UnreachableError: If it stays silent for too long.
    """
    states: dict[str, str] = {}
    answered, silent = time.monotonic(), False
    while True:
        try:
            run = call(lambda: client.get_run(run_id))
        except (UnreachableError, RefusedTokenError) as error:
            if time.monotonic() - answered > patience.longest:
                raise error.and_then(f"the run goes on: spavl submit --follow {run_id}") from error
            if not silent:
                tell(f"{error}; trying again")
            silent = True
        else:
            answered, silent = time.monotonic(), False
            for line in _changes(run, states):
                tell(line)
            if run.state in ENDED:
                return run
        time.sleep(patience.seconds)


def mlflow_link(run: Any) -> str | None:
    """Address of the MLflow run, where KFP's plugin made one."""
    output = (run.plugins_output or {}).get("mlflow")
    entry = ((output.entries if output else None) or {}).get("run_url")
    return str(entry.value) if entry else None


def _changes(run: Any, states: dict[str, str]) -> Iterator[str]:
    details = run.run_details.task_details if run.run_details else None
    for task in details or []:
        name = task.display_name or ""
        # Drivers resolve inputs in a second or two; the root is the run itself.
        if not name or name == "root" or name.endswith("-driver"):
            continue
        if task.state and states.get(task.task_id) != task.state:
            states[task.task_id] = task.state
            yield f"[{name}] {task.state.lower()}{_duration(task)}"


def _duration(task: Any) -> str:
    if task.state in ENDED and task.start_time and task.end_time:
        seconds = (task.end_time - task.start_time).total_seconds()
        return f" after {seconds:.0f} s" if seconds >= 0 else ""
    return ""
