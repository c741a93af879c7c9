"""Runs in a cluster: started by `spavl submit`, looked at from all sides."""

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spavl.errors import DONE
from tests.cluster.cluster import Cluster, Object, wait
from tests.local.running import TINY

SPAVL = str(Path(sys.executable).parent / "spavl")
# A pocket base of one look at few pictures: what is tried here is what befalls pods.
CLUSTER_TINY: Mapping[str, object] = {
    **TINY,
    "base_model.pocket.tower_steps": 60,
    "base_model.pocket.tower_pictures": 2000,
    "base_model.pocket.rows": 1500,
    "base_model.pocket.row_pictures": 1500,
}
ENDED = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
IN_MLFLOW = {"SUCCEEDED": "FINISHED", "FAILED": "FAILED", "CANCELED": "KILLED"}


@dataclass
class Run:
    """A run that `spavl submit` follows, and the one that it starts again where a fault passed.

    Attributes:
        cluster: Where it runs.
        first: The name that it was started by.
        process: The command that follows it.
        log: What the command has printed.
    """

    cluster: Cluster
    first: str
    process: "subprocess.Popen[str]"
    log: Path

    @property
    def starts(self) -> list[tuple[str, str]]:
        """Name and KFP's id of each start, oldest first."""
        line = rf"^run ({re.escape(self.first)}(?:-\d)?): (\S+)$"
        return re.findall(line, self.log.read_text(), re.MULTILINE)

    @property
    def name(self) -> str:
        """The last start's name for people."""
        return self.starts[-1][0]

    @property
    def id(self) -> str:
        """KFP's id of the last start."""
        return self.starts[-1][1]

    def pod_of(self, task: str, seconds: float = 1200) -> Object:
        """Wait until a task has a pod at work."""

        def found() -> Object | None:
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            pods = [pod for pod in self.cluster.pods(self.id) if task_of(pod) == task]
            return next((pod for pod in reversed(pods) if is_running(pod)), None)

        pod: Object = wait(f"{self.name}: {task}", found, seconds, pause=0.5)
        return pod

    def told(self, stage: str, event: str = "started") -> bool:
        """Whether a stage, or one of its parts, has told an event."""
        events = self.cluster.events(self.id)
        return any(
            each["event"] == event and each["stage"].partition("-")[0] == stage for each in events
        )

    def last_pods(self) -> dict[str, Object]:
        """The newest pod of each task."""
        return {task_of(pod): pod for pod in self.cluster.pods(self.id)}

    def at_work(self) -> bool:
        """Whether any of its pods is."""
        return any(map(is_running, self.cluster.pods(self.id)))

    def end(self, seconds: float = 2400) -> int:
        """Wait for the end; the exit code of `spavl submit`."""
        return self.process.wait(seconds)

    @property
    def summary(self) -> dict[str, Any]:
        """summary.json of the run's folder."""
        content: dict[str, Any] = json.loads(
            self.cluster.file(f"/work/runs/{self.id}/summary.json")
        )
        return content

    @property
    def status(self) -> str:
        """How the run's folder says that it ended."""
        told = self.cluster.file(f"/work/runs/{self.id}/tracking/status.json")
        return str(json.loads(told)["status"]) if told else ""


def task_of(pod: Object) -> str:
    """The task that a pod executes, e.g. `train-dpo`: its node is `...train-dpo(0).executor(0)`."""
    node = pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"]
    return re.split(r"[.(]", re.sub(r"\(\d+\)", "", node).removesuffix(".executor"))[-1]


def is_running(pod: Object) -> bool:
    """Whether a pod is at work."""
    return bool(pod["status"].get("phase") == "Running")


def submit(cluster: Cluster, folder: Path, name: str, *arguments: str, **settings: object) -> Run:
    """Start a tiny pocket run.

    Args:
        cluster: Where.
        folder: Keeps what the command prints.
        name: What its name begins with.
        arguments: Further arguments of `spavl submit`.
        settings: Further settings, `__` for a dot.
    """
    name = f"{name}-{secrets.token_hex(2)}"  # the suite may have been here before
    # A seed of its own: work that an earlier run finished would be kept.
    wanted = {
        **CLUSTER_TINY,
        "seed": secrets.randbelow(10**6),
        **{key.replace("__", "."): each for key, each in settings.items()},
    }
    command = [SPAVL, "submit", "--port-forward", "--sizes", "laptop", "--name", name]
    command += ["--every", "3", *where(cluster), *arguments]
    command += [f"--set={key}={value}" for key, value in wanted.items()]
    if registry := os.environ.get("SPAVL_REGISTRY"):
        command += ["--image-registry", registry]
    log = folder / f"{name}.log"
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, text=True)

    run = Run(cluster, name, process, log)

    def started() -> bool:
        assert run.starts or process.poll() is None, log.read_text()
        return bool(run.starts)

    wait("a run's id", started, 120)
    return run


def where(cluster: Cluster) -> list[str]:
    """Arguments that name the namespace, where KFP serves several users."""
    return [] if cluster.namespace == cluster.kfp else ["--namespace", cluster.namespace]


def agree(run: Run, kfp: Any, mlflow: Any, expected: str, in_mlflow: str = "") -> None:
    """See that KFP, MLflow and the run's folder say the same of how a run ended.

    Args:
        run: The run.
        kfp: A client of KFP.
        mlflow: Gives MLflow's parent runs of a run.
        expected: KFP's state.
        in_mlflow: MLflow's and the folder's status where KFP cannot say so much.
    """
    told = wait("KFP's state", lambda: (s := kfp.get_run(run.id).state) in ENDED and s, 180)
    assert told == expected
    wanted = in_mlflow or IN_MLFLOW[expected]
    wait("the folder's status", lambda: run.status == wanted, 180)
    [parent] = wait("MLflow's run", lambda: mlflow(run), 180)
    wait("MLflow's status", lambda: mlflow(run)[0]["info"]["status"] == wanted, 180)
    assert parent["info"]["run_name"] == run.name


def succeeded(run: Run) -> None:
    """Wait until a run has ended well."""
    code = run.end()
    assert code == DONE, run.log.read_text()[-4000:]
