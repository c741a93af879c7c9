"""The TrainJob that several nodes train in: what would be sent, and how it is followed."""

import itertools
import json
import os
import signal
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from spavl.alignment import node
from spavl.alignment.failures import TrainingFailedError, leave_error
from spavl.alignment.following import HEARTBEAT, own_cluster, run_train_job
from spavl.alignment.signals import termination_deferred
from spavl.alignment.train_job import train_job, train_job_name
from spavl.errors import AwayError, InputError, TerminatedError
from spavl.kubernetes_api import Cluster
from spavl.settings.dpo import DpoSettings
from tests.deploy.kubernetes_server import JOBS, Json, Kubernetes, serving
from tests.deploy.policy import findings
from tests.deploy.validation import problems, supported_versions

NAME = train_job_name("reward_modeling", "0123456789abcdef")
IMAGE = "registry.example.com/spa-vl/trainer:0123456789abcdef"
NEWEST = supported_versions()[-1]
SETTINGS = DpoSettings.parse({"num_nodes": 2, "num_processes": 8}, "dpo")
RUN = "metadata.labels['pipeline/runid']"
STEP: Json = {
    "metadata": {"name": "step", "namespace": "spa-vl"},
    "spec": {
        "serviceAccountName": "spa-vl-runner",
        "nodeSelector": {"pool": "training"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "volumes": [
            {"name": "work", "persistentVolumeClaim": {"claimName": "spa-vl-work"}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "64Gi"}},
            {"name": "var-run-argo", "emptyDir": {}},
            {"name": "spa-vl-environment", "configMap": {"name": "spa-vl-environment"}},
            {"name": "spa-vl-s3", "secret": {"secretName": "spa-vl-s3", "optional": True}},
        ],
        "containers": [
            {"name": "wait", "image": "argoexec"},
            {
                "name": "main",
                "image": IMAGE,
                "command": ["/var/run/argo/argoexec"],
                "env": [
                    {"name": "SPAVL_RUN_ID", "valueFrom": {"fieldRef": {"fieldPath": RUN}}},
                    {"name": "MLFLOW_TRACKING_URI", "value": "http://mlflow"},
                    {"name": "KFP_POD_NAME", "value": "step"},
                ],
                "resources": {
                    "requests": {"cpu": "32", "memory": "256Gi", "nvidia.com/gpu": "8"},
                    "limits": {"cpu": "64", "memory": "512Gi", "nvidia.com/gpu": "8"},
                },
                "volumeMounts": [
                    {"name": "work", "mountPath": "/work"},
                    {"name": "shared-memory", "mountPath": "/dev/shm"},
                    {"name": "var-run-argo", "mountPath": "/var/run/argo"},
                    {"name": "spa-vl-environment", "mountPath": "/etc/spa-vl/environment"},
                    {"name": "spa-vl-s3", "mountPath": "/etc/spa-vl/secrets/spa-vl-s3"},
                ],
            },
        ],
    },
}
CREATED: Json = {}
RUNNING: Json = {"jobsStatus": [{"name": "node", "active": 2, "ready": 2}]}
COMPLETE: Json = {"conditions": [{"type": "Complete", "status": "True", "reason": "JobsCompleted"}]}
FAILED: Json = {
    "conditions": [
        {"type": "Suspended", "status": "False", "reason": "Resumed"},
        {
            "type": "Failed",
            "status": "True",
            "reason": "JobsFailed",
            "message": "jobset failed due to one or more job failures",
        },
    ]
}


@pytest.fixture
def kubernetes() -> Iterator[Kubernetes]:
    with serving(Kubernetes(pods={"step": STEP})) as server:
        yield server


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Json:
    monkeypatch.setenv("SPAVL_RUN_ID", "run-7")
    return train_job(NAME, Path("/work/stages/dpo/1/processes"), SETTINGS, STEP)


def cluster(kubernetes: Kubernetes, folder: Path, patience: float = 10) -> Cluster:
    (folder / "token").write_text("token")
    return Cluster(kubernetes.url, "spa-vl", "step", folder, patience, pause=0.01)


def follow(kubernetes: Kubernetes, job: Json, folder: Path, *looks: Json | int) -> list[str]:
    """Follow a TrainJob that looks so; the last look lasts. Gives what was told."""
    said: list[str] = []
    kubernetes.looks = iter([*looks, *repeat(looks[-1], 50)])
    run_train_job(cluster(kubernetes, folder), job, folder, said.append)
    return said


def node_pod(job: Json) -> Json:
    """The pod that a node's patch and trainer make, as Trainer puts them together."""
    patch = job["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]
    spec = patch["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    trainer = job["spec"]["trainer"]
    parts = {"image": trainer["image"], "command": trainer["command"], "env": trainer["env"]}
    container = {**spec["containers"][0], **parts, "resources": trainer["resourcesPerNode"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "node", "namespace": "spa-vl"},
        "spec": {**spec, "containers": [container], "automountServiceAccountToken": False},
    }


def test_what_is_sent_fits_trainers_schema_and_our_rules(job: Json) -> None:
    assert problems([job, node_pod(job)], NEWEST) == []
    assert findings(job) + findings(node_pod(job)) == []


def test_a_typo_in_what_is_sent_is_found(job: Json) -> None:
    job["spec"]["trainer"]["numnodes"] = 2
    assert problems([job], NEWEST)


def test_nodes_get_what_the_step_has_and_no_value_of_a_secret(job: Json) -> None:
    trainer = job["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"], trainer["image"]) == (2, 8, IMAGE)
    assert trainer["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == "8"
    environment = {one["name"]: one for one in trainer["env"]}
    assert set(environment) == {"SPAVL_RUN_ID"}
    assert environment["SPAVL_RUN_ID"]["value"] == "run-7"
    spec = node_pod(job)["spec"]
    assert {one["name"] for one in spec["volumes"]} == {
        *("work", "shared-memory", "scratch"),
        *("spa-vl-environment", "spa-vl-s3"),
    }
    assert spec["serviceAccountName"] == "spa-vl-runner"
    assert spec["nodeSelector"] == {"pool": "training"}


def test_the_namespace_may_name_the_nodes_size(monkeypatch: pytest.MonkeyPatch) -> None:
    size = {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "1"}
    monkeypatch.setenv("SPAVL_TRAINING_RESOURCES", json.dumps(size))
    made = train_job(NAME, Path("/work"), SETTINGS, STEP)
    assert made["spec"]["trainer"]["resourcesPerNode"] == {"requests": size, "limits": size}


def test_a_step_that_waited_in_a_queue_of_kueues_hands_it_to_the_train_job_alone(job: Json) -> None:
    queue = {"kueue.x-k8s.io/queue-name": "spa-vl"}
    labelled = {**STEP["metadata"], "labels": {**STEP["metadata"].get("labels", {}), **queue}}
    made = train_job(NAME, Path("/work"), SETTINGS, {**STEP, "metadata": labelled})
    assert made["metadata"]["labels"].items() >= queue.items()
    assert json.dumps(made).count("queue-name") == 1
    assert "queue-name" not in json.dumps(job)


def test_it_is_created_followed_shown_and_deleted(
    kubernetes: Kubernetes, job: Json, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pod = f"{NAME}-node-0-0-x7k2p"
    kubernetes.pods = {pod: {"metadata": {"name": pod}, "status": {"phase": "Running"}}}
    first, second = "2026-01-01T00:00:01.1Z [dpo] 1/9", "2026-01-01T00:00:01.2Z [dpo] 2/9"
    kubernetes.logs = {pod: [first, second]}
    said = follow(kubernetes, job, tmp_path, CREATED, RUNNING, RUNNING, COMPLETE)
    assert said == [f"TrainJob {NAME}: 2 nodes of 8 processes"]
    assert capsys.readouterr().out.splitlines() == [f"{pod}: [dpo] 1/9", f"{pod}: [dpo] 2/9"]
    assert kubernetes.job is None
    assert (tmp_path / HEARTBEAT).exists()


def test_a_log_that_breaks_is_told_once_goes_on_and_ends_nothing(
    kubernetes: Kubernetes, job: Json, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # 502: the pod's machine is lost; 400: its container has not started.
    pod = f"{NAME}-node-0-0-x7k2p"
    kubernetes.pods = {pod: {"metadata": {"name": pod}, "status": {"phase": "Running"}}}
    kubernetes.logs = {pod: ["2026-01-01T00:00:01.1Z [dpo] 1/9"]}
    kubernetes.log_failures = [502, 502, 400]
    follow(kubernetes, job, tmp_path, CREATED, RUNNING, RUNNING, RUNNING, RUNNING, COMPLETE)
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f"{pod}: its log cannot be read for now: ")
    assert told[1:] == [f"{pod}: [dpo] 1/9"]


def test_a_carriage_return_in_a_log_ends_no_line(
    kubernetes: Kubernetes, job: Json, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pod = f"{NAME}-node-0-0-x7k2p"
    kubernetes.pods = {pod: {"metadata": {"name": pod}, "status": {"phase": "Running"}}}
    bar = "2026-01-01T00:00:01.1Z Loading 1%\rLoading 99%\u2028done"
    after = "2026-01-01T00:00:02.1Z [dpo] 1/9"
    kubernetes.logs = {pod: [bar]}

    def looks() -> Iterator[Json]:
        yield from (CREATED, RUNNING)
        kubernetes.logs[pod].append(after)
        yield from repeat(COMPLETE)

    kubernetes.looks = looks()
    run_train_job(cluster(kubernetes, tmp_path), job, tmp_path, print)
    told = capsys.readouterr().out
    assert told.count("Loading 99%") == 1
    assert told.endswith(f"{pod}: [dpo] 1/9\n")


def test_one_that_waits_in_a_queue_says_so_once(
    kubernetes: Kubernetes, job: Json, tmp_path: Path
) -> None:
    held = {"type": "Suspended", "status": "True", "reason": "Suspended", "message": "on hold"}
    said = follow(kubernetes, job, tmp_path, *2 * [{"conditions": [held]}], RUNNING, COMPLETE)
    assert said[1:] == [f"TrainJob {NAME} waits: on hold"]


def test_a_server_that_is_gone_for_a_while_is_waited_for(
    kubernetes: Kubernetes, job: Json, tmp_path: Path
) -> None:
    follow(kubernetes, job, tmp_path, CREATED, 503, 503, 500, RUNNING, 429, COMPLETE)
    assert kubernetes.calls.count(("POST", JOBS)) == 1


def test_a_token_that_has_expired_is_read_anew(
    kubernetes: Kubernetes, job: Json, tmp_path: Path
) -> None:
    follow(kubernetes, job, tmp_path, CREATED, RUNNING, 401, RUNNING, COMPLETE)
    assert kubernetes.job is None


def test_a_server_that_stays_away_leaves_the_train_job_to_the_next_attempt(
    kubernetes: Kubernetes, job: Json, tmp_path: Path
) -> None:
    kubernetes.looks = iter([RUNNING, *repeat(503, 1000)])
    with pytest.raises(AwayError, match="answers 503") as error:
        run_train_job(cluster(kubernetes, tmp_path, patience=0.1), job, tmp_path, print)
    assert error.value.exit_code == 75
    assert kubernetes.job is not None
    said = follow(kubernetes, job, tmp_path, RUNNING, COMPLETE)
    assert said == [f"going on with TrainJob {NAME}"]
    assert kubernetes.calls.count(("POST", JOBS)) == 1


def test_what_a_process_says_of_its_failure_is_the_steps_error(
    kubernetes: Kubernetes, job: Json, tmp_path: Path
) -> None:
    leave_error(tmp_path, "process-00003", RuntimeError("Connection closed by peer"))
    leave_error(tmp_path, "process-00009", InputError("the gradient is nan", "training", "lower"))
    with pytest.raises(TrainingFailedError, match="the gradient is nan") as error:
        follow(kubernetes, job, tmp_path, RUNNING, FAILED)
    assert error.value.exit_code == 2


def test_pods_told_to_end_leave_a_step_that_can_be_run_again(
    kubernetes: Kubernetes, job: Json, tmp_path: Path
) -> None:
    leave_error(tmp_path, "process-00000", TerminatedError("terminated after 7 of 9 steps"))
    with pytest.raises(TerminatedError, match="7 of 9") as error:
        follow(kubernetes, job, tmp_path, RUNNING, FAILED)
    assert error.value.exit_code == 75


def test_a_failure_without_words_is_told_as_the_train_jobs(
    kubernetes: Kubernetes, job: Json, tmp_path: Path
) -> None:
    with pytest.raises(TrainingFailedError, match=f"{NAME} failed: jobset failed due to"):
        follow(kubernetes, job, tmp_path, FAILED)


def test_a_failed_one_of_an_attempt_before_is_replaced(
    kubernetes: Kubernetes, job: Json, tmp_path: Path
) -> None:
    kubernetes.job = dict(job)
    follow(kubernetes, job, tmp_path, FAILED, CREATED, COMPLETE)
    wanted = [("DELETE", f"{JOBS}/{NAME}"), ("POST", JOBS), ("DELETE", f"{JOBS}/{NAME}")]
    assert [call for call in kubernetes.calls if call[0] != "GET"] == wanted


def test_one_that_is_being_deleted_is_waited_out_and_made_anew(
    kubernetes: Kubernetes, job: Json, tmp_path: Path
) -> None:
    going = {**job["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    kubernetes.job = {**job, "metadata": going}
    follow(kubernetes, job, tmp_path, RUNNING, CREATED, COMPLETE)
    assert kubernetes.calls.count(("POST", JOBS)) == 1


def test_one_that_somebody_deleted_can_be_run_again(
    kubernetes: Kubernetes, job: Json, tmp_path: Path
) -> None:
    with pytest.raises(TrainingFailedError, match="was deleted") as error:
        follow(kubernetes, job, tmp_path, RUNNING, 404)
    assert error.value.exit_code == 75


def test_sigterm_to_the_step_deletes_it(
    kubernetes: Kubernetes, job: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looks() -> Iterator[Any]:
        yield RUNNING
        os.kill(os.getpid(), signal.SIGTERM)
        yield from repeat(RUNNING)

    kubernetes.looks = looks()
    with pytest.raises(TerminatedError, match="run it again"):
        run_train_job(cluster(kubernetes, tmp_path), job, tmp_path, print)
    assert kubernetes.job is None


def test_nodes_whose_step_is_long_gone_are_told_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "SECONDS_WITHOUT_STEP", 0.2)
    monkeypatch.setattr(node, "SECONDS_BETWEEN_LOOKS", 0.01)
    (tmp_path / HEARTBEAT).touch()
    with termination_deferred() as terminated:
        node._end_without_step(tmp_path / HEARTBEAT)
        assert terminated()
    with termination_deferred() as terminated:  # nor does a folder that is not there help
        node._end_without_step(tmp_path / "gone" / HEARTBEAT)
        assert terminated()


def test_nodes_go_on_while_their_step_is_heard_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats = itertools.count()

    def beat(_seconds: float) -> None:
        if (number := next(beats)) < 20:
            os.utime(tmp_path / HEARTBEAT, (number, number))
            clock.append(clock[-1] + node.SECONDS_WITHOUT_STEP / 2)
        else:
            clock.append(clock[-1] + node.SECONDS_WITHOUT_STEP)

    clock = [0.0]
    (tmp_path / HEARTBEAT).touch()
    monkeypatch.setattr(node.time, "sleep", beat)
    monkeypatch.setattr(node.time, "monotonic", lambda: clock[-1])
    with termination_deferred() as terminated:
        node._end_without_step(tmp_path / HEARTBEAT)
        assert terminated()
    assert next(beats) == 21


def test_missing_rights_are_told_in_one_line(
    kubernetes: Kubernetes, job: Json, tmp_path: Path
) -> None:
    kubernetes.refusal = 403
    with pytest.raises(InputError, match=r"refuses \(403\): trainjobs is forbidden .*trainJobs"):
        follow(kubernetes, job, tmp_path, CREATED)


def test_a_cluster_without_kubeflow_trainer_is_told_in_one_line(
    kubernetes: Kubernetes, job: Json, tmp_path: Path
) -> None:
    kubernetes.refusal = 404
    with pytest.raises(InputError, match=r"refuses \(404\): .*that Kubeflow Trainer is installed"):
        follow(kubernetes, job, tmp_path, CREATED)


def test_an_api_that_is_no_more_is_told_in_one_line(
    kubernetes: Kubernetes, job: Json, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"refuses \(410\): .*that Kubeflow Trainer is installed"):
        follow(kubernetes, job, tmp_path, RUNNING, 410)
    assert kubernetes.job is not None  # the next attempt goes on following it


def test_outside_a_cluster_several_nodes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InputError, match=r"no pod of a cluster \(dpo\.num_nodes\)"):
        own_cluster("dpo")
