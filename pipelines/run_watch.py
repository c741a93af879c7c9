"""Watches a namespace's runs and closes them: `python -m pipelines.run_watch`, one pod a namespace.

Whichever way a run ends (it succeeds, fails, is terminated, runs out of time, is deleted), its
Workflow says so, also when no pod of it is left to. Nothing is remembered but in the runs' folders:
killed and started again, it looks at everything there is and does what is still to be done.
"""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.run_closing import (
    Run,
    close_run,
    ending_by_the_folder,
    ending_in,
    error_of,
    is_closed,
    marked_if_cached,
    open_run,
    run_in,
)
from pipelines.workflows import RUN_ID, Sight, ending_of, is_ours, plugin_config, sight_of
from spavl.errors import AwayError, InputError, SpavlError
from spavl.kubernetes_api import Cluster, ForgottenError
from spavl.pod_environment import load_pod_environment
from spavl.tracking.launch import Ending, Outcome

AT_ONCE = 2  # followers; each is a process with MLflow's libraries
LONGEST_PAUSE = 300.0


@dataclass
class Attended:
    """A Workflow, and how far it was brought.

    Attributes:
        sight: As it was seen last.
        settled: As it was when all was done for it; None before.
        foreign: Whether it is not ours.
        busy: Whether it is being worked on.
        due: When to try again, on the monotonic clock.
        pause: Seconds until then, the last time.
    """

    sight: Sight
    settled: Sight | None = None
    foreign: bool = False
    busy: bool = False
    due: float = 0.0
    pause: float = 1.0

    @property
    def is_due(self) -> bool:
        """Whether there is something to do now."""
        waits = self.foreign or self.busy or self.settled == self.sight
        return not waits and time.monotonic() >= self.due


class RunWatch:
    """Attends to all runs of a namespace.

    Args:
        cluster: Where.
        runs: Folder of all runs.
        mlflow: Whether this namespace names an MLflow.
        seconds: For how long one look at the Workflows lasts; then what failed is tried again.
    """

    def __init__(self, cluster: Cluster, runs: Path, mlflow: bool, seconds: int = 30) -> None:
        self._cluster, self._runs = cluster, runs
        self._mlflow, self._seconds = mlflow, seconds
        self._attended: dict[str, Attended] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="closing")

    def go(self, ends: Callable[[], bool] = lambda: False) -> None:
        """Watch until told to end.

        Raises:
            InputError: If Kubernetes refuses.
        """
        version, orphans = "", True
        while not ends():
            try:
                if not version:
                    version = self._list()
                    if orphans:
                        orphans = self._look_for_orphans()
                self._attend()
                version = self._watch(version)
            except ForgottenError:
                version = ""
            except AwayError as error:
                say(f"{error}; trying again")
                time.sleep(self._cluster.pause)
        self._pool.shutdown()

    # What there is

    def _list(self) -> str:
        path = self._cluster.workflows()
        found, version = self._cluster.metadata(path, labelSelector=RUN_ID)
        sights = [sight_of(metadata) for metadata in found]
        for sight in sights:
            self._see(sight)
        there = {sight.uid for sight in sights}
        for uid, attended in self._attended.items():
            if uid not in there:
                self._see(replace(attended.sight, gone=True))
        return version

    def _watch(self, version: str) -> str:
        path = self._cluster.workflows()
        changes = self._cluster.changes(path, version, self._seconds, labelSelector=RUN_ID)
        for kind, metadata in changes:
            version = metadata["resourceVersion"]
            if kind != "BOOKMARK":
                self._see(replace(sight_of(metadata), gone=kind == "DELETED"))
                self._attend()
        return version

    def _look_for_orphans(self) -> bool:
        """Runs that ended, and whose Workflows went, while nobody looked."""
        known = {attended.sight.uid for attended in self._attended.values()}
        for folder in self._runs.glob("*/"):
            run, ending = run_in(folder), ending_in(folder)
            closed = ending is not None and is_closed(folder, ending, settled=False)
            here = run is not None and run.namespace == self._cluster.namespace
            if run and here and not closed and run.uid not in known:
                self._see(Sight(run.workflow, run.uid, run.id, run.name, gone=True))
        return False

    def _see(self, sight: Sight) -> None:
        attended = self._attended.setdefault(sight.uid, Attended(sight))
        if attended.sight != sight:
            attended.sight, attended.due, attended.pause = sight, 0.0, 1.0

    # What is to be done

    def _attend(self) -> None:
        for uid, attended in list(self._attended.items()):
            if attended.sight.gone and (attended.foreign or attended.settled == attended.sight):
                del self._attended[uid]
            elif attended.is_due:
                attended.busy = True
                self._pool.submit(self._bring, attended)

    def _bring(self, attended: Attended) -> None:
        sight = attended.sight
        try:
            if self._settle(attended, sight):
                attended.settled = sight
        except (SpavlError, OSError) as error:
            say(f"{sight.run_name}: {error}; trying again")
        except Exception as error:  # one run's trouble is no other's
            say(f"{sight.run_name}: {type(error).__name__}: {error}; trying again")
        finally:
            if attended.sight == sight and attended.settled != sight:
                attended.due = time.monotonic() + attended.pause
                attended.pause = min(2 * attended.pause, LONGEST_PAUSE)
            attended.busy = False

    def _settle(self, attended: Attended, sight: Sight) -> bool:
        """Do what a run's state asks for; whether nothing of it is left to do."""
        folder = self._runs / sight.run_id
        found = self._cluster.json("GET", self._cluster.workflows(sight.workflow))
        if found is None or found["metadata"]["uid"] != sight.uid:
            return self._settle_gone(folder)
        if not is_ours(found):
            attended.foreign = True
            return True
        sight = sight_of(found["metadata"])  # it may have gone on since
        told = (sight.workflow, sight.uid, self._cluster.namespace, plugin_config(found))
        run = Run(sight.run_id, sight.run_name, *told)
        if run_in(folder) != run:
            run.introduce(folder)
        if not sight.completed:
            return _told(run, "open", open_run(run, folder, self._mlflow))
        ending = marked_if_cached(ending_of(found, error_of(folder)), folder)
        return self._close(run, folder, ending, sight.reported or not run.plugin)

    def _settle_gone(self, folder: Path) -> bool:
        run = run_in(folder)
        if run is None:
            return True
        return self._close(run, folder, ending_in(folder) or ending_by_the_folder(folder), True)

    def _close(self, run: Run, folder: Path, ending: Ending, settled: bool) -> bool:
        if is_closed(folder, ending, settled):
            return True
        outcome = close_run(run, folder, ending, settled, self._mlflow)
        return _told(run, f"{ending.status} {ending.error}".strip(), outcome)


def _told(run: Run, what: str, outcome: Outcome) -> bool:
    """Tell of a run; whether there is no use in another try."""
    gap = f"; not in MLflow yet: {outcome.gap}" if outcome.gap else ""
    say(f"{run.name}: {what}{gap}")
    return not outcome.gap or outcome.lasting


def say(text: str) -> None:
    """Write a line to the pod's log."""
    print(text, flush=True)


def main() -> None:
    """Watch this pod's namespace."""
    # At once, whatever goes on: all of it is begun again by the next process.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    load_pod_environment()
    remedy = "give the pod's account get, list and watch of workflows.argoproj.io"
    outside = InputError("runs are watched from a pod of a cluster", "run_watch", "use the chart")
    try:
        cluster = Cluster.of_pod(outside, patience=30.0, remedy=remedy)
        runs = os.environ.get("SPAVL_RUNS")
        if not runs:
            raise InputError("no folder of runs", "SPAVL_RUNS", "name it in spa-vl-environment")
        RunWatch(cluster, Path(runs), bool(os.environ.get("MLFLOW_TRACKING_URI"))).go()
    except SpavlError as error:
        say(f"run-watch: {error}")
        os._exit(error.exit_code)


if __name__ == "__main__":
    main()
