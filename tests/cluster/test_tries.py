"""What befalls pods in mid-work: who starts the stage again, what is made twice, how it ends."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, wait
from tests.cluster.faults import Fault, deleted, ended_by_exit_code, evicted, killed_by_memory
from tests.cluster.paid import PaidEndpoint
from tests.cluster.runs import Run, agree, submit, succeeded

STAGES = ("collect-images", "answer-questions", "train-dpo", "train-ppo", "write-report")
# Each fault once, and with some of them what happens when a service is away as well. Where a pod is
# made again its launcher needs S3, so S3 goes away under a fault that leaves the pod there.
FAULTS = [
    (deleted, ""),
    (evicted, "mlflow"),
    (killed_by_memory, ""),
    (ended_by_exit_code, "s3"),
]
WITHOUT = ("answer-questions", "train-dpo")
SECONDS_AWAY = 60


@pytest.mark.parametrize(
    ("fault", "service"), FAULTS, ids=[f"{fault.__name__} {away}".strip() for fault, away in FAULTS]
)
def test_a_run_that_loses_pods_processes_or_a_service_ends_well(
    cluster: Cluster,
    kfp: Any,
    mlflow: Callable[[Run], list[Any]],
    tmp_path: Path,
    fault: Fault,
    service: str,
) -> None:
    name = f"lost-{fault.__name__}".replace("_", "-")
    with PaidEndpoint(cluster, name) as endpoint:
        run = submit(cluster, tmp_path, name, **endpoint.settings)
        hit = {}
        for task in STAGES:
            pod = run.pod_of(task)
            hit[task] = pod["metadata"]["uid"]
            if task == "answer-questions":  # some are paid for by then
                wait("ten answers", lambda: len(endpoint.questions()) >= 10, 300, pause=0.5)
            fault(cluster, pod)
            if service and task in WITHOUT:
                with cluster.away(service):
                    time.sleep(SECONDS_AWAY)
        succeeded(run)
        asked = Counter(endpoint.questions())
    agree(run, kfp, mlflow, "SUCCEEDED")
    # Argo makes another pod, which may get the old one's name; the supervisor another process.
    last = {task: pod["metadata"]["uid"] for task, pod in run.last_pods().items()}
    kept = {task: last[task] == uid for task, uid in hit.items()}
    print(f"{fault.__name__}: same pod {kept}, {sum(asked.values())} answers paid for")
    assert set(kept.values()) == {fault in (killed_by_memory, ended_by_exit_code)}
    # What was under way when the answering stage went is asked again, and nothing else.
    assert sum(asked.values()) - len(asked) <= endpoint.concurrency
