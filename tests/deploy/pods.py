"""Pods of a run as KFP 2.17 and Argo make them, and what their logs say."""

import json
from typing import Any

from tests.deploy.kfp_server import SPEC

Json = dict[str, Any]
PODS = "/api/v1/namespaces/kubeflow/pods"
IR = SPEC["pipeline_spec"]


def node_of(task: str, item: int = 0) -> str:
    """Argo's name of a task's node, wherever the pipeline has the task."""

    def search(component: Json, above: str) -> str | None:
        for name, one in component.get("dag", {}).get("tasks", {}).items():
            node = f"{above}.{name}"
            if name == task:
                return node
            if "parameterIterator" in one:
                node += f".iteration-iterations({item}:{item}).iteration-item"
            within = IR["components"][one["componentRef"]["name"]]
            if found := search(within, node):
                return found
        return None

    found = search(IR["root"], "spa-vl-x7k2p.root")
    assert found, task
    return found


def pod(task: str, phase: str = "Running", item: int = 0, value: str = "", **status: Any) -> Json:
    """A stage's pod."""
    given = {"inputs": {"parameterValues": {"responders": value}}}
    command = ["argoexec", "emissary", "--", "launch", "--executor_input", json.dumps(given)]
    return {
        "metadata": {
            "creationTimestamp": f"2026-01-01T00:00:0{item}Z",
            "annotations": {
                "workflows.argoproj.io/node-name": f"{node_of(task, item)}.executor(0)"
            },
            "labels": {"pipeline/runid": "run-1", "app.kubernetes.io/part-of": "spa-vl"},
        },
        "spec": {
            "containers": [
                {
                    "name": "main",
                    "image": "r.example/spa-vl/trainer:1",
                    "command": command,
                    "resources": {"limits": {"memory": "6Gi"}},
                },
                {"name": "wait", "image": "argoexec"},
            ]
        },
        "status": {"phase": phase, **status},
    }


def driver(task: str, phase: str = "Running", **status: Any) -> Json:
    """The pod of KFP's that prepares a stage."""
    made = pod(task, phase, **status)
    made["metadata"]["annotations"] = {"workflows.argoproj.io/node-name": f"{node_of(task)}-driver"}
    del made["metadata"]["labels"]["app.kubernetes.io/part-of"]
    return made


def ended(exit_code: int, reason: str = "Error", container: str = "main", **more: Any) -> Json:
    """The status of a pod one of whose containers ended so."""
    state = {"terminated": {"exitCode": exit_code, "reason": reason, **more}}
    return {"containerStatuses": [{"name": container, "state": state}]}


def event(second: int, name: str, **fields: Any) -> str:
    """A stage's event as its pod's log holds it."""
    content = {"time": second, "run": "run-1", "stage": "dpo", "event": name, **fields}
    return said(second, json.dumps(content))


def said(second: int, text: str) -> str:
    """A line of a pod's log, with its time."""
    return f"2026-01-01T00:{second // 60:02}:{second % 60:02}.000000001Z {text}"
