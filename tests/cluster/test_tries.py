"""What befalls pods in mid-work: who starts the stage again, what is made twice, how it ends."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, wait
from tests.cluster.faults import Fault, deleted, ended_by_exit_code, evicted, killed_by_memory
from tests.cluster.paid import PaidEndpoint
from tests.cluster.runs import Run, agree, submit, succeeded

STAGES = {
    "collect-images": "collection",
    "answer-questions": "answers",
    "train-dpo": "dpo",
    "train-ppo": "ppo",
    "write-report": "report",
}
FAULTS = [deleted, evicted, killed_by_memory, ended_by_exit_code]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.__name__))
def test_a_run_that_loses_a_pod_or_process_at_five_stages_ends_well(
    cluster: Cluster,
    kfp: Any,
    mlflow: Callable[[Run], list[Any]],
    tmp_path: Path,
    fault: Fault,
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


@pytest.mark.parametrize("service", ["mlflow", "s3"])
def test_a_service_that_is_away_for_a_minute_ends_no_run(
    cluster: Cluster,
    kfp: Any,
    mlflow: Callable[[Run], list[Any]],
    tmp_path: Path,
    service: str,
) -> None:
    with PaidEndpoint(cluster, f"without-{service}") as endpoint:
        run = submit(cluster, tmp_path, f"without-{service}", **endpoint.settings)
        for task in ("answer-questions", "train-dpo"):
            run.pod_of(task)
            wait("the stage's beginning", lambda task=task: run.told(STAGES[task]), 120)
            with cluster.away(service):
                wait_seconds(60)
        succeeded(run)
    agree(run, kfp, mlflow, "SUCCEEDED")


def wait_seconds(seconds: float) -> None:
    """Let a service be away for so long."""
    import time

    time.sleep(seconds)
