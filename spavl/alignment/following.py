"""Following a TrainJob to its end: logs shown, failure passed on, ended with the step.

A step that is started again finds the TrainJob of the attempt before and goes on following it. A
step that is gone for long leaves nobody to write the heartbeat, and the nodes end by themselves.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from spavl.alignment.failures import TrainingFailedError, raise_failure
from spavl.alignment.signals import termination_deferred
from spavl.alignment.train_job import NODE
from spavl.errors import TRY_AGAIN, AwayError, InputError, TerminatedError
from spavl.kubernetes_api import Cluster

HEARTBEAT = "heartbeat"
JOB_SET = "jobset.sigs.k8s.io/jobset-name"
SECONDS_TO_GO = 900.0  # for pods to end after their TrainJob was deleted


def own_cluster(stage: str) -> Cluster:
    """The cluster that a trainer runs in.

    Raises:
        InputError: If it runs in none.
    """
    outside = InputError(
        "several nodes train in a TrainJob, and this is no pod of a cluster",
        f"{stage}.num_nodes",
        "submit the run to Kubeflow Pipelines, or set num_nodes to 1",
    )
    return Cluster.of_pod(outside)


def run_train_job(
    cluster: Cluster, job: Mapping[str, Any], folder: Path, say: Callable[[str], None]
) -> None:
    """Start a TrainJob, or go on with the one there is, and follow it to its end.

    Args:
        cluster: Where.
        job: The TrainJob.
        folder: Where its processes leave their errors.
        say: Told what a reader of the run should know.

    Raises:
        TerminatedError: After SIGTERM to this step or to the TrainJob's pods.
        TrainingFailedError: If it failed.
    """
    name = job["metadata"]["name"]
    logs = _Logs(cluster, name)
    waited = False
    with termination_deferred() as terminated:
        _start(cluster, job, say)
        while True:
            (folder / HEARTBEAT).touch()
            found = cluster.json("GET", cluster.train_jobs(name))
            logs.show()
            if found is None:
                raise TrainingFailedError(
                    f"TrainJob {name} was deleted: run it again to go on from the last checkpoint",
                    TRY_AGAIN,
                )
            if terminated():
                _end(cluster, name)
                raise TerminatedError(f"terminated, TrainJob {name} with it: run it again to go on")
            if _condition(found, "Complete"):
                break
            if condition := _condition(found, "Failed"):
                raise_failure(folder, {})
                raise TrainingFailedError(
                    f"TrainJob {name} failed: {condition.get('message') or condition['reason']}",
                    TRY_AGAIN,
                )
            condition = _condition(found, "Suspended")  # e.g. by a queue of Kueue's
            if condition and not waited:
                say(f"TrainJob {name} waits: {condition.get('message') or condition['reason']}")
            waited = condition is not None
            time.sleep(cluster.pause)
    cluster.json("DELETE", cluster.train_jobs(name))


def _start(cluster: Cluster, job: Mapping[str, Any], say: Callable[[str], None]) -> None:
    name = job["metadata"]["name"]
    found = cluster.json("GET", cluster.train_jobs(name))
    if found and not _is_over(found):
        say(f"going on with TrainJob {name}")
        return
    if found:
        _end(cluster, name)
    cluster.json("POST", cluster.train_jobs(), dict(job))
    spec = job["spec"]["trainer"]
    say(f"TrainJob {name}: {spec['numNodes']} nodes of {spec['numProcPerNode']} processes")


def _is_over(job: Mapping[str, Any]) -> bool:
    """Whether a TrainJob has ended or is about to be gone."""
    ended = _condition(job, "Failed") or _condition(job, "Complete")
    return ended is not None or "deletionTimestamp" in job["metadata"]


def _end(cluster: Cluster, name: str) -> None:
    """Delete a TrainJob and wait until it and its pods are gone."""
    cluster.json("DELETE", cluster.train_jobs(name), {"propagationPolicy": "Foreground"})
    deadline = time.monotonic() + SECONDS_TO_GO
    while time.monotonic() < deadline and cluster.json("GET", cluster.train_jobs(name)):
        time.sleep(cluster.pause)


def _condition(job: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    """A condition that holds."""
    conditions = job.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind and c["status"] == "True"), None)


class _Logs:
    """Prints what a TrainJob's pods say, each line once.

    Lines come with their times, since only a time can be asked from; it has whole seconds. A log
    that cannot be had, e.g. of a pod whose machine is lost, is told and ends nothing: whether
    training goes on is the TrainJob's to say.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._selector = f"{JOB_SET}={name}"
        self._last: dict[str, str] = {}
        self._silent: set[str] = set()

    def show(self) -> None:
        """Print what is new."""
        pods = self._cluster.json("GET", self._cluster.core("pods"), labelSelector=self._selector)
        for pod in (pods or {}).get("items", []):
            if pod.get("status", {}).get("phase") in ("Running", "Succeeded", "Failed"):
                self._show(pod["metadata"]["name"])

    def _show(self, pod: str) -> None:
        last = self._last.get(pod, "")
        since = {"sinceTime": last[:19] + "Z"} if last else {}
        path = self._cluster.core(f"pods/{pod}/log")
        try:
            # A mesh may have put a container of its own beside ours.
            log = self._cluster.text(path, container=NODE, timestamps="true", **since)
        except (AwayError, InputError) as error:
            if pod not in self._silent:
                print(f"{pod}: its log cannot be read for now: {error}", flush=True)
            self._silent.add(pod)
            return
        self._silent.discard(pod)
        for line in log.split("\n"):  # a carriage return, as of a progress bar, ends no line
            when, _, text = line.partition(" ")
            if when > last:
                print(f"{pod}: {text}", flush=True)
                self._last[pod] = max(when, self._last.get(pod, ""))
