"""Following a run to its end: one line for each change, patience with the connection.

Where the person may read the run's pods, those tell (`pipelines.run_pods`). KFP's API tells the
rest: the run's state, stages that came from its cache, and, without a cluster's account, how the
stages stand, as long as it knows that itself.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipelines.cluster import RefusedTokenError, UnreachableError, call
from pipelines.faults import Fault
from pipelines.kubernetes_access import NoClusterError, NoRightError
from pipelines.run_pods import RunPods
from pipelines.stage_names import StageNames
from spavl.errors import DONE, FAULT_OF_OURS, TRY_AGAIN, InputError

ENDED = {
    "SUCCEEDED": DONE,
    "SKIPPED": DONE,
    "FAILED": FAULT_OF_OURS,
    "CANCELED": TRY_AGAIN,
}
"""Exit code by the last state. The SDK's own waiting does not know that cancelled runs end."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Patience:
    """How a run is asked for.

    Attributes:
        seconds: Between two questions.
        longest: Seconds without an answer until the wait is given up; the run itself goes on.
    """

    seconds: float = 10
    longest: float = 900


@dataclass(frozen=True)
class Ended:
    """A run that has ended.

    Attributes:
        run: As KFP gives it.
        faults: What its stages failed by, by their names, as far as their pods tell.
        table: The figures before and after, where the report's pod told them.
        cancelled: Whether a person ended it; KFP 2.17.0 says FAILED of such a run in the end, and
            CANCELING for the seconds before.
        late: That the run's own deadline ended it, in words; another run would meet it too.
    """

    run: Any
    faults: dict[str, Fault] = field(default_factory=dict)
    table: str = ""
    cancelled: bool = False
    late: str = ""

    @property
    def exit_code(self) -> int:
        """What a command line that followed it ends with: its stages' own where it is known."""
        if self.passing:
            return TRY_AGAIN
        if self.cancelled or self.late:
            return ENDED["CANCELED"]
        codes = [fault.exit_code for fault in self.faults.values() if not fault.passing]
        return max(codes) if self.failed and codes else ENDED[self.run.state]

    @property
    def failed(self) -> bool:
        """Whether it failed, and was not cancelled."""
        return bool(self.run.state == "FAILED") and not self.cancelled

    @property
    def passing(self) -> bool:
        """Whether it failed by faults that pass."""
        faults = self.faults.values()
        return self.failed and not self.late and bool(faults) and all(f.passing for f in faults)


def follow(
    client: Any,
    run_id: str,
    patience: Patience,
    tell: Tell,
    pods_of: Callable[[StageNames], RunPods] | None = None,
) -> Ended:
    """Wait until a run has ended.

    Args:
        client: A `kfp.Client`.
        run_id: The run.
        patience: How often to ask, and how long to bear silence.
        tell: Takes one line for each change.
        pods_of: Makes the follower of its pods, where they can be read.

    Raises:
        InputError: If the server refuses, e.g. a token that ran out and was not renewed in time.
        UnreachableError: If it stays silent for too long.
    """
    stages: _Stages | None = None
    answered, silent = time.monotonic(), False
    while True:
        try:
            run = call(lambda: client.get_run(run_id))
            stages = stages or _Stages(_names(client, run), tell, pods_of)
        except (UnreachableError, RefusedTokenError) as error:
            if time.monotonic() - answered > patience.longest:
                raise error.and_then(f"the run goes on: spavl submit --follow {run_id}") from error
            if not silent:
                tell(f"{error}; trying again")
            silent = True
        else:
            answered, silent = time.monotonic(), False
            stages.look(run)
            if run.state in ENDED:
                return stages.ended(run)
        time.sleep(patience.seconds)


def mlflow_link(run: Any) -> str | None:
    """Address of the MLflow run, where KFP's plugin made one."""
    output = (run.plugins_output or {}).get("mlflow")
    entry = ((output.entries if output else None) or {}).get("run_url")
    return str(entry.value) if entry else None


def _names(client: Any, run: Any) -> StageNames:
    """Names of a run's stages, from the pipeline that it is of."""
    spec, version = run.pipeline_spec, run.pipeline_version_reference
    if not spec and version:
        try:
            spec = call(
                lambda: client.get_pipeline_version(
                    version.pipeline_id, version.pipeline_version_id
                )
            ).pipeline_spec
        except InputError:  # it was deleted, or others may not read it
            spec = None
    return StageNames(spec or {})


class _Stages:
    """The stages, by their pods as far as these can be looked at, and by KFP's API."""

    def __init__(
        self, names: StageNames, tell: Tell, pods_of: Callable[[StageNames], RunPods] | None
    ) -> None:
        self._tasks, self._tell = _Tasks(names), tell
        self._pods = pods_of(names) if pods_of else None
        self._silent = self._cancelled = False

    def look(self, run: Any) -> None:
        """Tell what is new; why pods cannot be looked at is told once."""
        self._cancelled |= run.state in ("CANCELING", "CANCELED")
        if self._pods is not None:
            try:
                for line in self._pods.look():
                    self._tell(line)
                self._silent = False
            except NoRightError as error:
                self._without_pods(error)
            except NoClusterError as error:
                if not self._pods.found:  # e.g. a kube config of a cluster that is no more
                    self._without_pods(error)
                elif not self._silent:
                    self._silent = True
                    self._tell(f"{error}; trying again")
        with_pods = self._pods.tasks if self._pods and self._pods.found else None
        for line in self._tasks.changes(run, with_pods):
            self._tell(line)

    def ended(self, run: Any) -> Ended:
        """The run's end, with what its pods told of it."""
        faults, table = (self._pods.faults, self._pods.table) if self._pods else ({}, "")
        late = self._pods.late() if self._pods and run.state == "FAILED" else ""
        return Ended(run, faults, table, self._cancelled, late)

    def _without_pods(self, error: Exception) -> None:
        self._tell(f"{error}; KFP alone tells how the stages stand")
        self._pods = None


class _Tasks:
    """Stages as KFP's API shows them."""

    def __init__(self, names: StageNames) -> None:
        self._names = names
        self._states: dict[str, str] = {}
        self._labels: dict[str, str] = {}

    def changes(self, run: Any, with_pods: set[str] | None) -> Iterator[str]:
        """One line for each stage whose state is new.

        Args:
            run: The run.
            with_pods: Tasks whose pods tell of them; None where no pods can be seen.
        """
        details = run.run_details.task_details if run.run_details else None
        for task in details or []:
            display = self._names.display(task.display_name or "")
            if display is None or not task.state or self._states.get(task.task_id) == task.state:
                continue
            self._states[task.task_id] = task.state
            label = self._label(task.task_id, display)
            if with_pods is None:
                yield f"[{label}] {task.state.lower()}{_duration(task)}"
            elif task.state == "SUCCEEDED" and task.display_name not in with_pods:
                yield f"[{label}] kept from an earlier run"

    def _label(self, task_id: str, display: str) -> str:
        """Those of a loop have one name, so they are counted."""
        if task_id not in self._labels:
            taken = set(self._labels.values())
            count = sum(label == display or label.startswith(f"{display} (") for label in taken)
            self._labels[task_id] = f"{display} ({count + 1})" if count else display
        return self._labels[task_id]


def _duration(task: Any) -> str:
    if task.state in ENDED and task.start_time and task.end_time:
        seconds = (task.end_time - task.start_time).total_seconds()
        return f" after {seconds:.0f} s" if seconds >= 0 else ""
    return ""
