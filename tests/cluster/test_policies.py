"""Who may reach whom, by connections from pods; what is closed answers once policies are gone."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, ClusterError, Object, wait
from tests.cluster.conftest import commands_environment, shell

ELSEWHERE = "spa-vl-elsewhere"
PART = {"app.kubernetes.io/part-of": "spa-vl"}
# Run as a program in a pod: which of these addresses take a connection.
CONNECT = """
import json, socket, sys
def reached(place):
    host, port = place
    try:
        if port == 53:
            socket.getaddrinfo(host, 80)
        else:
            socket.create_connection((host, port), timeout=4).close()
        return True
    except OSError:
        return False
print(json.dumps({name: reached(place) for name, place in json.loads(sys.argv[1]).items()}))
"""
SERVE = "import http.server, sys; http.server.HTTPServer(('', int(sys.argv[1])), " + (
    "http.server.SimpleHTTPRequestHandler).serve_forever()"
)
OPEN = {
    "stage": {"DNS", "Kubernetes API", "KFP's API, gRPC", "metadata store", "S3", "MLflow"},
    "helper": {"DNS", "KFP's API, HTTP", "S3", "MLflow"},
    "volumes": {"DNS"},
    "run-watch": {"DNS", "Kubernetes API", "S3", "MLflow"},
    "mlflow": {"DNS", "S3", "MLflow"},  # itself
}
DEPLOYMENTS = {"run-watch": "spa-vl-run-watch", "mlflow": "spa-vl-mlflow"}


@pytest.fixture(scope="module")
def targets(cluster: Cluster) -> Iterator[Mapping[str, tuple[str, int]]]:
    """Servers that listen, some of which nobody of ours may reach."""
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ELSEWHERE}})
    cluster.apply(pod(cluster, "web", {"app": "web"}, ELSEWHERE, ["8080"]))
    cluster.apply(pod(cluster, "node", {"app": "node"}, ELSEWHERE, ["18443"], host=True))
    try:
        web, node = (
            wait("a server", lambda name=name: address(cluster, name), 120)
            for name in ("web", "node")
        )
        yield {
            "DNS": ("kubernetes.default.svc.cluster.local", 53),
            "Kubernetes API": ("kubernetes.default.svc.cluster.local", 443),
            "KFP's API, gRPC": (f"ml-pipeline.{cluster.kfp}.svc.cluster.local", 8887),
            "KFP's API, HTTP": (f"ml-pipeline.{cluster.kfp}.svc.cluster.local", 8888),
            "metadata store": (f"metadata-grpc-service.{cluster.kfp}.svc.cluster.local", 8080),
            "S3": (f"seaweedfs.{cluster.kfp}.svc.cluster.local", 9000),
            "MLflow": (f"spa-vl-mlflow.{cluster.namespace}.svc.cluster.local", 5000),
            "another namespace": (web, 8080),
            "node": (node, 18443),
        }
    finally:
        cluster.kubectl("delete", "namespace", ELSEWHERE, "--wait=false")


def address(cluster: Cluster, name: str) -> str:
    found = cluster.get("pod", name, "-n", ELSEWHERE)["status"]
    return str(found.get("podIP", "")) if found.get("phase") == "Running" else ""


def pod(
    cluster: Cluster,
    name: str,
    labels: Mapping[str, str],
    namespace: str,
    serve: list[str],
    host: bool = False,
) -> Object:
    """A pod of our image that serves at a port, or waits to be asked to connect."""
    watch = cluster.get("deployment", "spa-vl-run-watch")["spec"]["template"]["spec"]
    command = [SERVE, *serve] if serve else ["import time; time.sleep(3600)"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "securityContext": watch["securityContext"],
            "automountServiceAccountToken": False,
            "hostNetwork": host,
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "probe",
                    "image": watch["containers"][0]["image"],
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", *command],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


@pytest.fixture(scope="module")
def sources(cluster: Cluster, targets: Any) -> Iterator[Mapping[str, list[str]]]:
    """How to run a program in a pod of each kind."""
    kind = "app.kubernetes.io/component"
    labels = {
        "stage": {**PART, kind: "judging", "workflows.argoproj.io/workflow": "spa-vl-probe"},
        "helper": {**PART, kind: "helper"},
        "volumes": {**PART, kind: "volumes"},
    }
    for name, each in labels.items():
        cluster.apply(pod(cluster, f"spa-vl-probe-{name}", each, cluster.namespace, []))
    cluster.apply(pod(cluster, "stranger", {"app": "stranger"}, ELSEWHERE, []))
    found = {name: [f"spa-vl-probe-{name}"] for name in labels}
    found |= {name: [f"deployment/{each}"] for name, each in DEPLOYMENTS.items()}
    found["another namespace"] = ["stranger", "-n", ELSEWHERE]
    for place in found.values():
        wait("a probe", lambda place=place: answers(cluster, place), 180)
    yield found
    for name in labels:
        cluster.kubectl("delete", "pod", f"spa-vl-probe-{name}", "--wait=false")


def answers(cluster: Cluster, place: list[str]) -> bool:
    try:
        return cluster.kubectl("exec", *place, "--", "python3", "-c", "print(1)") == "1\n"
    except ClusterError:
        return False


def reached(cluster: Cluster, place: list[str], targets: Mapping[str, Any]) -> set[str]:
    told = cluster.kubectl(
        "exec", *place, "--", "python3", "-c", CONNECT, json.dumps(targets), seconds=120
    )
    return {name for name, well in json.loads(told).items() if well}


def test_each_pod_reaches_what_it_needs_and_no_more(
    cluster: Cluster, targets: Mapping[str, tuple[str, int]], sources: Mapping[str, list[str]]
) -> None:
    extra = set(filter(None, os.environ.get("SPAVL_OPEN", "").split(",")))
    found = {name: reached(cluster, place, targets) for name, place in sources.items()}
    print(json.dumps({name: sorted(each) for name, each in found.items()}, indent=1))
    for name, expected in OPEN.items():
        assert found[name] - extra == expected - extra, name
    # What else a pod of another namespace reaches of KFP's is KFP's to say.
    assert not {"MLflow", "S3"} & found["another namespace"]
    assert {"another namespace", "node"} <= found["another namespace"]
    # The same connections without the policies: what was closed does listen.
    ours = cluster.get("networkpolicies", "--selector", "app.kubernetes.io/part-of=spa-vl")
    policies = [each["metadata"]["name"] for each in ours["items"]]
    cluster.kubectl("delete", "networkpolicy", *policies)
    try:
        for name in ("stage", "helper", "volumes", "run-watch", "mlflow"):
            wait(
                f"everything open to {name}",
                lambda name=name: reached(cluster, sources[name], targets) == set(targets),
                60,
            )
    finally:
        shell(
            'helm upgrade spa-vl charts/spa-vl --namespace "$NAMESPACE" --values "$VALUES"',
            **commands_environment(cluster),
        )
    wait(
        "closed again",
        lambda: reached(cluster, sources["volumes"], targets) - extra == OPEN["volumes"] - extra,
        60,
    )
