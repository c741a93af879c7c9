"""What a run's pods tell becomes lines for people: progress, failures, why nothing starts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.kubernetes_access import NoRightError, kubernetes_access
from pipelines.run_pods import RunPods
from pipelines.stage_names import StageNames
from tests.deploy.cluster_server import Cluster, serving
from tests.deploy.kfp_server import SPEC
from tests.deploy.pods import PODS, driver, ended, event, pod, said

STARTED = event(1, "started", work="/work/dpo", process=1)
DONE = event(9, "done", work="/work/dpo", seconds=8.0, imports=1.0)
FULL = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with serving(Cluster()) as running:
        yield running


@pytest.fixture
def pods(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPods:
    """A follower without patience for pods that wait."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kube_config(tmp_path / "config")))
    return RunPods(kubernetes_access(), "kubeflow", "run-1", StageNames(SPEC), pending_seconds=0)


def put(cluster: Cluster, name: str, made: dict[str, Any], *log: str) -> None:
    made["metadata"]["name"] = name
    cluster.put(f"{PODS}/{name}", **made)
    cluster.logs[name] = list(log)


def progress(second: int, done: int, **metrics: float) -> str:
    return event(second, "progress", done=done, total=96, unit="steps", metrics=metrics)


def test_a_stages_events_are_told_under_its_display_name(cluster: Cluster, pods: RunPods) -> None:
    launcher = said(0, "I1128 10:00:00.000000       1 launcher_v2.go:155] input: {}")
    put(cluster, "a", pod("train-dpo"), launcher, STARTED, said(2, "{not json"), said(2, '"word"'))
    assert list(pods.look()) == ["[Align by DPO] started"]
    assert list(pods.look()) == []
    put(cluster, "a", pod("train-dpo", "Succeeded"), STARTED, DONE)
    assert list(pods.look()) == ["[Align by DPO] done in 8.0 s"]
    assert list(pods.look()) == []
    assert (pods.tasks, pods.faults) == ({"train-dpo"}, {})


def test_of_progress_the_newest_is_told_once_a_look(cluster: Cluster, pods: RunPods) -> None:
    lines = [progress(second, second, loss=1 / second) for second in range(2, 30)]
    put(cluster, "a", pod("train-dpo"), STARTED, *lines)
    assert list(pods.look()) == [
        "[Align by DPO] started",
        "[Align by DPO] 29/96 steps loss 0.0345",
    ]
    cluster.logs["a"] += [progress(30, 30), progress(31, 96, accuracy=0.5), progress(32, 32)]
    assert list(pods.look()) == [
        "[Align by DPO] 96/96 steps accuracy 0.5",
        "[Align by DPO] 32/96 steps",
    ]


def test_a_loops_pods_are_told_by_their_items(cluster: Cluster, pods: RunPods) -> None:
    for item, value in enumerate(("llava,qwen", "")):
        put(cluster, f"{item}", pod("answer-questions", item=item, value=value), STARTED)
    assert list(pods.look()) == [
        "[Answer questions (llava,qwen)] started",
        "[Answer questions (2)] started",
    ]


def test_a_stages_own_error_is_told_once(cluster: Cluster, pods: RunPods) -> None:
    failed = event(2, "failed", message="no such folder (x): give one", exit_code=2)
    glog = said(3, "F1128 10:00:00.000000       1 main.go:59] failed to execute: exit status 1")
    put(cluster, "a", pod("train-dpo", "Failed", **ended(1)), STARTED, failed, glog)
    assert list(pods.look()) == [
        "[Align by DPO] started",
        "[Align by DPO] failed: no such folder (x): give one",
    ]
    fault = pods.faults["Align by DPO"]
    assert (fault.passing, fault.exit_code) == (False, 2)


def test_a_stage_that_asks_to_be_tried_again_failed_by_what_passes(
    cluster: Cluster, pods: RunPods
) -> None:
    failed = event(2, "failed", message="S3 does not answer", exit_code=75)
    put(cluster, "a", pod("train-dpo", "Failed", **ended(1)), failed)
    assert list(pods.look()) == ["[Align by DPO] failed: S3 does not answer"]
    assert pods.faults["Align by DPO"].passing


def test_a_stage_that_asks_for_too_much_memory_does_not_fail_by_what_passes(
    cluster: Cluster, pods: RunPods
) -> None:
    """So the supervisor in the pod tells it, when all its attempts ended so."""
    failed = event(2, "failed", message="the pod's memory limit was reached", exit_code=75)
    put(cluster, "a", pod("train-dpo", "Failed", **ended(1)), failed)
    list(pods.look())
    assert not pods.faults["Align by DPO"].passing
    assert "larger --sizes" in pods.faults["Align by DPO"].remedy


def test_a_stage_that_was_tried_again_in_its_pod_has_no_fault(
    cluster: Cluster, pods: RunPods
) -> None:
    failed = event(2, "failed", message="S3 does not answer", exit_code=75)
    put(cluster, "a", pod("train-dpo", "Succeeded"), failed, event(3, "started"), DONE)
    list(pods.look())
    assert pods.faults == {}


LAUNCHER = "F1128 10:00:00.000000       1 main.go:59] failed to upload: connection refused"
ITS_OWN = "F1128 10:00:00.000000       1 main.go:59] failed to execute component: exit status 139"
DISRUPTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}


@pytest.mark.parametrize(
    ("status", "log", "told", "passing"),
    [
        (ended(137, "OOMKilled"), "", "its pod was killed: out of memory (limit 6Gi)", False),
        (ended(1), LAUNCHER, "KFP: failed to upload: connection refused", True),
        (ended(1), ITS_OWN, "it ended without a word (failed to execute component: ", False),
        (ended(137), "", "container main was killed (SIGKILL)", True),
        (ended(64, container="wait"), "", "Argo could not keep the pod's outputs: exit", True),
        (
            ended(128, "StartError", message='exec: "launch": no such file'),
            "",
            'container main cannot run: exec: "launch": no such file',
            False,
        ),
        ({"reason": "Evicted", "message": "low on memory"}, "", "taken away: low on memory", True),
        ({"conditions": [DISRUPTED]}, "", "taken away: Eviction API: evicting", True),
        ({"reason": "DeadlineExceeded"}, "", "its time limit was reached", False),
    ],
)
def test_what_only_the_platform_knows_is_said_in_plain_words(
    cluster: Cluster, pods: RunPods, status: dict[str, Any], log: str, told: str, passing: bool
) -> None:
    put(cluster, "a", pod("train-dpo", "Failed", **status), said(2, log))
    [line] = pods.look()
    assert line.startswith("[Align by DPO] failed: ")
    assert told in line
    assert pods.faults["Align by DPO"].passing is passing
    assert list(pods.look()) == []


def test_a_pod_that_was_taken_away_is_told_and_so_is_the_next(
    cluster: Cluster, pods: RunPods
) -> None:
    put(cluster, "a", pod("train-dpo"), STARTED)
    list(pods.look())
    del cluster.objects[f"{PODS}/a"]
    [line] = pods.look()
    assert "its pod is gone: deleted, or its node was lost" in line
    assert pods.faults["Align by DPO"].passing
    put(cluster, "b", pod("train-dpo"), STARTED)
    assert list(pods.look()) == [
        "[Align by DPO] started again in a new pod",
        "[Align by DPO] started",
    ]
    assert pods.faults == {}


def test_a_pod_made_again_under_the_same_name_is_another_one(
    cluster: Cluster, pods: RunPods
) -> None:
    """As Argo does with a pod that is deleted soon after its start."""
    put(cluster, "a", pod("train-dpo"), STARTED)
    assert list(pods.look()) == ["[Align by DPO] started"]
    del cluster.objects[f"{PODS}/a"]
    put(cluster, "a", pod("train-dpo"), STARTED)
    told = list(pods.look())
    assert "[Align by DPO] started again in a new pod" in told
    assert "[Align by DPO] started" in told
    assert not any("failed" in line for line in told)


def test_a_pod_that_no_node_takes_is_told_once(cluster: Cluster, pods: RunPods) -> None:
    unscheduled = {"type": "PodScheduled", "status": "False", "message": FULL}
    put(cluster, "a", pod("train-dpo", "Pending", conditions=[unscheduled]))
    [line] = pods.look()
    assert line.startswith(f"[Align by DPO] waits: no node takes its pod: {FULL}")
    assert "--sizes" in line
    assert list(pods.look()) == []
    put(cluster, "a", pod("train-dpo"), STARTED)
    assert list(pods.look()) == ["[Align by DPO] started"]


def test_a_pod_that_waits_for_a_moment_is_not_told(cluster: Cluster, pods: RunPods) -> None:
    pods._pending = 3600
    unscheduled = {"type": "PodScheduled", "status": "False", "message": FULL}
    put(cluster, "a", pod("train-dpo", "Pending", conditions=[unscheduled]))
    assert list(pods.look()) == []


@pytest.mark.parametrize("container", ["kfp-launcher", "main"])
def test_an_image_that_cannot_be_pulled_is_named_at_once(
    cluster: Cluster, pods: RunPods, container: str
) -> None:
    pods._pending = 3600
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling\nimage"}
    statuses = [{"name": container, "image": "i:1", "state": {"waiting": waiting}}]
    kind = "containerStatuses" if container == "main" else "initContainerStatuses"
    put(cluster, "a", pod("train-dpo", "Pending", **{kind: statuses}))
    [line] = pods.look()
    image = "r.example/spa-vl/trainer:1" if container == "main" else "i:1"
    assert f"image {image} cannot be pulled (Back-off pulling image)" in line


def test_a_volume_or_secret_that_is_missing_is_told_from_the_pods_events(
    cluster: Cluster, pods: RunPods
) -> None:
    put(cluster, "a", pod("train-dpo", "Pending"))
    message = 'MountVolume.SetUp failed: secret "mlpipeline-minio-artifact" not found'
    events = PODS.replace("pods", "events")
    for number, (of, text) in enumerate((("a", "old"), ("a", message), ("b", "another's"))):
        cluster.put(
            f"{events}/{number}",
            involvedObject={"name": of},
            type="Warning",
            lastTimestamp=f"2026-01-01T00:00:0{number}Z",
            message=text,
        )
    [line] = pods.look()
    assert f"its pod cannot be set up: {message}" in line


def test_a_driver_is_told_only_when_it_fails(cluster: Cluster, pods: RunPods) -> None:
    put(cluster, "a", driver("train-dpo"), said(1, "I1128 driver"))
    put(cluster, "b", driver("train-ppo"), said(1, LAUNCHER.replace("upload", "ask the store")))
    assert list(pods.look()) == []
    cluster.objects[f"{PODS}/a"]["status"]["phase"] = "Succeeded"
    cluster.objects[f"{PODS}/b"]["status"] = {"phase": "Failed", **ended(1)}
    [line] = pods.look()
    assert line.startswith("[Align by PPO] failed: KFP: failed to ask the store")
    assert pods.tasks == set()


def test_the_reports_table_is_kept(cluster: Cluster, pods: RunPods) -> None:
    put(
        cluster,
        "a",
        pod("write-report", "Succeeded"),
        event(1, "summary", text="Promoted: dpo.", table="HarmEval 40 20"),
    )
    assert list(pods.look()) == ["[Write report] Promoted: dpo."]
    assert pods.table == "HarmEval 40 20"


def test_without_the_right_to_logs_failures_are_still_told(cluster: Cluster, pods: RunPods) -> None:
    cluster.refused = {f"{PODS}/a/log"}
    put(cluster, "a", pod("train-dpo", "Failed", **ended(137, "OOMKilled")), STARTED)
    [line] = pods.look()
    assert "out of memory" in line


def test_a_log_that_cannot_be_had_for_now_is_waited_for(cluster: Cluster, pods: RunPods) -> None:
    put(cluster, "a", pod("train-dpo", "Succeeded"), STARTED, DONE)
    cluster.failing = {f"{PODS}/a/log": 502}
    assert list(pods.look()) == []
    cluster.failing = {}
    assert len(list(pods.look())) == 2


def test_without_the_right_to_pods_it_says_so(cluster: Cluster, pods: RunPods) -> None:
    cluster.refused = {PODS}
    with pytest.raises(NoRightError):
        list(pods.look())
