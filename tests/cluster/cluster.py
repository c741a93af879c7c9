"""The cluster that KUBECONFIG names, by kubectl as a user would call it."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
WATCH = "deployment/spa-vl-run-watch"


class ClusterError(AssertionError):
    """kubectl said no."""


@dataclass(frozen=True)
class Cluster:
    """A namespace of a cluster.

    Attributes:
        namespace: Where the chart is installed and runs' pods are.
        kfp: Namespace of Kubeflow Pipelines itself.
    """

    namespace: str
    kfp: str = "kubeflow"

    def kubectl(self, *arguments: str, text: str | None = None, seconds: float = 120) -> str:
        """What kubectl prints; its namespace is ours unless another is named."""
        named = any(each in ("-n", "-A", "--namespace") for each in arguments)
        place = [] if named else ["--namespace", self.namespace]
        done = subprocess.run(
            ["kubectl", *place, *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def get(self, *arguments: str) -> Object:
        """An object or a list of them."""
        found: Object = json.loads(self.kubectl("get", *arguments, "--output", "json"))
        return found

    def apply(self, *objects: Object) -> None:
        """Make objects, in our namespace unless they name another."""
        for each in objects:
            place = ["-n", each["metadata"].get("namespace", self.namespace)]
            self.kubectl("apply", *place, "--filename", "-", text=json.dumps(each))

    def workflow(self, run_id: str) -> Object:
        """Argo's workflow of a run."""
        [found] = self.get("workflows", "--selector", f"pipeline/runid={run_id}")["items"]
        return dict(found)

    def pods(self, run_id: str) -> list[Object]:
        """Pods of a run that execute its stages, oldest first."""
        found = self.get("pods", "--selector", f"pipeline/runid={run_id}")["items"]
        stages = [
            pod for pod in found if "app.kubernetes.io/component" in pod["metadata"]["labels"]
        ]
        return sorted(stages, key=lambda pod: pod["metadata"]["creationTimestamp"])

    @contextmanager
    def away(self, service: str) -> Iterator[None]:
        """Take MLflow or KFP's S3 away while a block lasts, and wait until it is back."""
        name, place = {
            "mlflow": ("deployment/spa-vl-mlflow", self.namespace),
            "s3": ("deployment/seaweedfs", self.kfp),
        }[service]
        self.kubectl("scale", name, "--replicas=0", "-n", place)
        try:
            yield
        finally:
            self.kubectl("scale", name, "--replicas=1", "-n", place)
            self.kubectl("rollout", "status", name, "-n", place, "--timeout=180s", seconds=200)

    def file(self, path: str) -> str:
        """A file of the work volume, read in the pod that watches runs; empty where it is none."""
        try:
            return self.kubectl("exec", WATCH, "--", "cat", path)
        except ClusterError:
            return ""

    def events(self, run_id: str) -> list[Object]:
        """What a run's stages have told."""
        lines = self.file(f"/work/runs/{run_id}/events.jsonl").splitlines()
        return [json.loads(line) for line in lines]


def missing() -> str:
    """Why there is no cluster to try; empty if there is one."""
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG names no cluster"
    for tool in ("kubectl", "helm"):
        if shutil.which(tool) is None:
            return f"{tool} is not on the PATH"
    kfp = ["kubectl", "--namespace", "kubeflow", "--request-timeout=20s"]
    asked = subprocess.run(
        [*kfp, "get", "deployment", "ml-pipeline"], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        return f"no Kubeflow Pipelines there: {asked.stderr.strip().splitlines()[-1]}"
    return ""


def wait(what: str, found: Callable[[], Any], seconds: float, pause: float = 2.0) -> Any:
    """Wait until a question has an answer.

    Args:
        what: What is waited for, for the failure.
        found: Gives the answer, or something false.
        seconds: How long.
        pause: Seconds between two questions.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if answer := found():
            return answer
        time.sleep(pause)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")
