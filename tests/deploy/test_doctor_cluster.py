"""`spavl doctor --cluster`: one line each, what follows from it, and what may not be seen."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.cli import main
from tests.deploy.cluster_server import Cluster, serving

Json = dict[str, Any]
CORE = "/api/v1/namespaces"
HEALTH = f"{CORE}/kubeflow/services/ml-pipeline:8888/proxy/apis/v2beta1/healthz"
CONTROLLER = f"{CORE}/kubeflow/configmaps/workflow-controller-configmap"
SETTINGS = {
    "SPAVL_WORK_ROOT": "/work/stages",
    "SPAVL_RUNS": "/work/runs",
    "SPAVL_CACHE": "/models/spavl",
    "SPAVL_LOG": "json",
}
SHIPPED = {
    "artifactRepository": {
        "archiveLogs": True,
        "s3": {"accessKeySecret": {"name": "mlpipeline-minio-artifact"}},
    },
    "workflowDefaults": {
        "spec": {"templateDefaults": {"retryStrategy": {"limit": "2", "retryPolicy": "OnError"}}}
    },
}
"""Of KFP 2.17's workflow-controller-configmap, what the checks read."""
FOUND = [
    {"volumes": "/work 90 GiB free, /models 90 GiB free"},
    {"s3": "seaweedfs.kubeflow:9000 keeps objects under mlpipeline/v2"},
]


def fill(cluster: Cluster, namespace: str) -> None:
    """A cluster as it should be."""
    cluster.objects["/version"] = {"gitVersion": "v1.34.4"}
    cluster.put("/api/v1/nodes/one", spec={}, status={"allocatable": NODE})
    cluster.objects[HEALTH] = {
        "tag_name": "2.17.0",
        "multi_user": namespace != "kubeflow",
        "pipeline_store": "database",
    }
    profile = {"labels": {"app.kubernetes.io/part-of": "kubeflow-profile"}}
    cluster.put(f"{CORE}/{namespace}", metadata=profile)
    cluster.put(CONTROLLER, data={key: yaml.safe_dump(value) for key, value in SHIPPED.items()})
    own = f"{CORE}/{namespace}"
    cluster.put(f"{own}/configmaps/spa-vl-environment", data=SETTINGS)
    for name in ("spa-vl-s3", "mlpipeline-minio-artifact"):
        cluster.put(f"{own}/secrets/{name}", data={"key": "aHVudGVyMg=="})
    cluster.put(f"{own}/serviceaccounts/spa-vl-runner")
    for name in ("spa-vl-work", "spa-vl-models"):
        cluster.put(
            f"{own}/persistentvolumeclaims/{name}",
            spec={"accessModes": ["ReadWriteMany"]},
            status={"phase": "Bound"},
        )
    cluster.put(f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/spa-vl-runs")
    apps = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    cluster.put(f"{apps}/spa-vl-run-watch", status={"availableReplicas": 1})
    cluster.made = lambda path, body: end(cluster, body)


NODE = {"cpu": "8", "memory": "32Gi"}


def end(cluster: Cluster, body: Json, *, exit_code: int = 0) -> None:
    """The doctor's pod ends as soon as it is made."""
    state = {"terminated": {"exitCode": exit_code}}
    names = [one["name"] for one in body["spec"]["containers"]]
    body["status"] = {
        "phase": "Succeeded",
        "containerStatuses": [{"name": name, "state": state} for name in names],
    }
    cluster.logs[body["metadata"]["name"]] = [json.dumps(found) for found in FOUND]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with serving(Cluster()) as running:
        fill(running, "kubeflow")
        yield running


Doctor = Callable[..., tuple[int, dict[str, Json]]]


@pytest.fixture
def doctor(
    cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Doctor:
    """The command's exit code, and its findings by name."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kube_config(tmp_path / "config")))

    def run(*arguments: str) -> tuple[int, dict[str, Json]]:
        given = ["--cluster", "--json", "--sizes", "laptop", *arguments]
        monkeypatch.setattr("sys.argv", ["spavl", "doctor", *given])
        with pytest.raises(SystemExit) as ended:
            main()
        checks = json.loads(capsys.readouterr().out)["checks"]
        return int(ended.value.code or 0), {one["name"]: one for one in checks}

    return run


def test_a_good_cluster_is_told_line_by_line(cluster: Cluster, doctor: Doctor) -> None:
    code, found = doctor("--image-registry", "r.example")
    assert code == 0
    assert {name: one["status"] for name, one in found.items() if one["status"] != "ok"} == {}
    told = {name: one["detail"] for name, one in found.items()}
    assert told["cluster"] == "Kubernetes v1.34.4"
    assert told["kfp"] == "2.17.0, serves one user"
    assert told["pipelines"].startswith("kept in KFP's database")
    assert told["namespace"] == "kubeflow, KFP's own: runs' pods are here"
    assert "without spa-vl-mlflow, spa-vl-hub, spa-vl-judges, which are optional" in told["secrets"]
    assert told["log archive"] == "on, with Secret mlpipeline-minio-artifact"
    assert told["retries"].startswith("OnError: a pod that is taken away is started again")
    assert told["writing"].startswith("/work 90 GiB free")
    assert told["s3"].endswith("keeps objects under mlpipeline/v2")
    assert "r.example/spa-vl/pipeline:" in told["images"]
    assert "r.example/spa-vl/trainer:" in told["images"]


def test_no_secrets_content_is_ever_sent(cluster: Cluster, doctor: Doctor) -> None:
    doctor()
    assert not [text for text in cluster.sent if "aHVudGVyMg" in text]


def test_the_pod_is_as_a_runs_are_and_goes(cluster: Cluster, doctor: Doctor) -> None:
    made: list[Json] = []
    cluster.made = lambda path, body: (made.append(body), end(cluster, body))[1]
    doctor()
    [pod] = made
    assert pod["spec"]["serviceAccountName"] == "spa-vl-runner"
    assert pod["spec"]["securityContext"]["runAsUser"] == 10001
    assert {"app.kubernetes.io/part-of", "workflows.argoproj.io/workflow"} <= set(
        pod["metadata"]["labels"]
    )
    path = f"{CORE}/kubeflow/pods/{pod['metadata']['name']}"
    assert ("DELETE", path) in cluster.calls
    assert path not in cluster.objects


def test_in_a_profiles_namespace_too(cluster: Cluster, doctor: Doctor) -> None:
    cluster.objects.clear()
    fill(cluster, "team")
    code, found = doctor("--namespace", "team")
    assert code == 0, found
    assert found["kfp"]["detail"] == "2.17.0, serves several users"
    assert found["namespace"]["detail"] == "team, a Profile's"


def change(path: str, **content: Any) -> Callable[[Cluster], None]:
    return lambda cluster: cluster.objects.__setitem__(path, content)


def remove(path: str) -> Callable[[Cluster], None]:
    return lambda cluster: cluster.objects.__delitem__(path)


OWN = f"{CORE}/kubeflow"
ALWAYS = {"spec": {"templateDefaults": {"retryStrategy": {"limit": 3, "retryPolicy": "Always"}}}}


@pytest.mark.parametrize(
    ("spoil", "name", "status", "told"),
    [
        (remove(HEALTH), "kfp", "broken", "no Service ml-pipeline in namespace kubeflow"),
        (change(HEALTH, tag_name="2.16.1"), "kfp", "broken", "older ones run loops"),
        (remove(OWN), "namespace", "broken", "there is no namespace kubeflow"),
        (
            change(HEALTH, tag_name="2.17.0", multi_user=True),
            "pipelines",
            "missing",
            "does not say",
        ),
        (
            change(f"{OWN}/configmaps/spa-vl-environment", data={"SPAVL_LOG": "json"}),
            "settings",
            "broken",
            "lacks SPAVL_WORK_ROOT, SPAVL_RUNS, SPAVL_CACHE",
        ),
        (remove(f"{OWN}/secrets/spa-vl-s3"), "secrets", "broken", "no Secret spa-vl-s3"),
        (
            remove(f"{OWN}/secrets/mlpipeline-minio-artifact"),
            "log archive",
            "broken",
            "Secret mlpipeline-minio-artifact is not here: every pod waits for it for ever",
        ),
        (change(CONTROLLER, data={}), "log archive", "ok", "off"),
        (change(CONTROLLER, data={}), "retries", "ok", "a pod that is taken away ends the run"),
        (
            change(CONTROLLER, data={"workflowDefaults": yaml.safe_dump(ALWAYS)}),
            "retries",
            "ok",
            "Always, 3 times at every level of a pipeline: attempts multiply",
        ),
        (
            remove(f"{OWN}/persistentvolumeclaims/spa-vl-work"),
            "volumes",
            "broken",
            "no claim spa-vl-work",
        ),
        (remove(f"{OWN}/serviceaccounts/spa-vl-runner"), "accounts", "broken", "spa-vl-runner"),
        (
            remove("/apis/networking.k8s.io/v1/namespaces/kubeflow/networkpolicies/spa-vl-runs"),
            "policies",
            "missing",
            "none of ours",
        ),
        (
            remove("/apis/apps/v1/namespaces/kubeflow/deployments/spa-vl-run-watch"),
            "run-watch",
            "missing",
            "stays open in MLflow",
        ),
    ],
)
def test_what_is_amiss_is_told_with_what_follows(
    cluster: Cluster,
    doctor: Doctor,
    spoil: Callable[[Cluster], None],
    name: str,
    status: str,
    told: str,
) -> None:
    spoil(cluster)
    code, found = doctor()
    assert (found[name]["status"], told in found[name]["detail"]) == (status, True), found[name]
    assert code == (2 if status == "broken" else 0)


def test_a_namespace_that_kfp_runs_nothing_in_is_told(cluster: Cluster, doctor: Doctor) -> None:
    cluster.put(f"{CORE}/mine")
    code, found = doctor("--namespace", "mine")
    assert code == 2
    assert "a KFP for one user runs pods in kubeflow" in found["namespace"]["detail"]
    cluster.objects[HEALTH]["multi_user"] = True
    assert "mine is no Profile's" in doctor("--namespace", "mine")[1]["namespace"]["detail"]


def test_sizes_that_no_node_has_are_told_with_some_that_fit(
    cluster: Cluster, doctor: Doctor
) -> None:
    code, found = doctor("--sizes", "cluster")
    assert code == 2
    assert "training asks for 8 nvidia.com/gpu, no node has more than 0" in found["room"]["detail"]
    assert "use --sizes laptop" in found["room"]["detail"]
    cluster.put("/api/v1/nodes/two", status={"allocatable": {"cpu": "128", "memory": "1Ti"}})
    cluster.put("/api/v1/nodes/gpu", status={"allocatable": NODE | {"nvidia.com/gpu": "8"}})
    assert "no node has all of it" in doctor("--sizes", "cluster")[1]["room"]["detail"]
    cluster.objects["/api/v1/nodes/two"]["status"]["allocatable"]["nvidia.com/gpu"] = "8"
    assert doctor("--sizes", "cluster")[1]["room"]["status"] == "ok"
    cluster.objects["/api/v1/nodes/two"]["spec"] = {"unschedulable": True}
    assert doctor("--sizes", "cluster")[1]["room"]["status"] == "broken"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/v1/nodes", "room"),
        (f"{OWN}/secrets", "secrets"),
        (HEALTH, "kfp"),
        (f"{OWN}/pods", "s3"),
        (CONTROLLER, "retries"),
    ],
)
def test_what_may_not_be_seen_is_not_known_and_nothing_is_assumed(
    cluster: Cluster, doctor: Doctor, path: str, name: str
) -> None:
    cluster.refused = {path}
    code, found = doctor()
    assert found[name]["status"] == "unknown"
    assert found[name]["detail"].startswith("not known: no right to ")
    assert code == 0


def test_an_image_that_does_not_come_is_told_and_the_rest_is_not_known(
    cluster: Cluster, doctor: Doctor
) -> None:
    waiting = {"reason": "ErrImagePull", "message": "not found"}

    def refuse(path: str, body: Json) -> None:
        status = {"name": "main", "state": {"waiting": waiting}}
        body["status"] = {"phase": "Pending", "containerStatuses": [status]}

    cluster.made = refuse
    code, found = doctor()
    assert code == 2
    assert "cannot be pulled (not found)" in found["images"]["detail"]
    assert found["s3"]["status"] == found["writing"]["status"] == "unknown"
    assert not [path for path in cluster.objects if "spa-vl-doctor" in path]


def test_what_the_pod_could_not_do_is_broken(cluster: Cluster, doctor: Doctor) -> None:
    def fail(path: str, body: Json) -> None:
        end(cluster, body)
        told = {"volumes": "!user 10001 may not write to /work: Permission denied"}
        cluster.logs[body["metadata"]["name"]][0] = json.dumps(told)

    cluster.made = fail
    code, found = doctor()
    assert code == 2
    assert found["writing"]["detail"].startswith("user 10001 may not write to /work")
    assert found["s3"]["status"] == "ok"


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"injectUserEnvVars": True}, "log into KFP's own run"), ({}, "injects nothing")],
)
def test_kfps_mlflow_plugin_is_read_from_its_servers_settings(
    cluster: Cluster, doctor: Doctor, settings: Json, told: str
) -> None:
    config = {"plugins": {"mlflow": {"endpoint": "http://mlflow:5000", "settings": settings}}}
    cluster.put(f"{OWN}/configmaps/own-config", data={"config.json": json.dumps(config)})
    pod = {"volumes": [{"name": "config", "configMap": {"name": "own-config"}}]}
    apps = "/apis/apps/v1/namespaces/kubeflow/deployments"
    cluster.put(f"{apps}/ml-pipeline", spec={"template": {"spec": pod}})
    assert told in doctor()[1]["mlflow plugin"]["detail"]


def test_without_a_cluster_that_alone_is_told(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serving(Cluster()) as gone:
        monkeypatch.setenv("KUBECONFIG", str(gone.kube_config(tmp_path / "gone")))
    code, found = doctor()
    assert code == 2
    assert list(found) == ["cluster"]
    assert "no Kubernetes API answers" in found["cluster"]["detail"]
