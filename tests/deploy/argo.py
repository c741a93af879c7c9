"""Workflows as KFP 2.17 makes them and Argo 4.0.5 leaves them, in small."""

import base64
import copy
import gzip
import json
from typing import Any

Json = dict[str, Any]
STARTED, FINISHED = "2026-11-29T10:00:00Z", "2026-11-29T10:30:00Z"
TREE = {
    "endpoint": "http://mlflow:5000",
    "parentRunId": "parent-of-kfp",
    "experimentId": "7",
    "authType": "none",
    "timeout": "30s",
}


def workflow(name: str = "spa-vl-x7", run: str = "run-7", **more: Any) -> Json:
    """A Workflow that goes on.

    Args:
        name: Its name.
        run: KFP's id of the run.
        more: `run_name`, `ours`, `plugin` (the content of the plugin's variable).
    """
    labels = {"app.kubernetes.io/part-of": "spa-vl" if more.get("ours", True) else "other"}
    pod = {"podMetadata": {"labels": {**labels, "app.kubernetes.io/component": "training"}}}
    environment = [{"name": "KFP_POD_NAME", "valueFrom": {"fieldRef": {}}}]
    if "plugin" in more:
        environment.append({"name": "KFP_MLFLOW_CONFIG", "value": more["plugin"]})
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {
            "name": name,
            "uid": f"uid-of-{name}",
            "labels": {"pipeline/runid": run, "workflows.argoproj.io/phase": "Running"},
            "annotations": {"pipelines.kubeflow.org/run_name": more.get("run_name", "my run")},
        },
        "spec": {
            "entrypoint": "entrypoint",
            "serviceAccountName": "spa-vl-runner",
            "arguments": {
                "parameters": [
                    {"name": "components-1", "value": '{"executorLabel": "exec-train-dpo"}'},
                    {"name": "kubernetes-comp-train-dpo", "value": json.dumps(pod)},
                    {"name": "components-root", "value": '{"dag": {}}'},
                ]
            },
            "templates": [
                {"name": "entrypoint", "dag": {}},
                {"name": "system-container-impl", "container": {"env": environment}},
            ],
        },
        "status": {"phase": "Running", "startedAt": STARTED},
    }


def ended(
    going: Json, phase: str, message: str = "", nodes: Json | None = None, at: str = FINISHED
) -> Json:
    """The Workflow as Argo leaves it."""
    done = copy.deepcopy(going)
    labels = {"workflows.argoproj.io/phase": phase, "workflows.argoproj.io/completed": "true"}
    done["metadata"]["labels"] |= labels
    done["status"] |= {"phase": phase, "finishedAt": at, "message": message}
    if nodes is not None:
        done["status"]["nodes"] = nodes
    return done


def terminated(going: Json) -> Json:
    """A run that a person ended on KFP's page."""
    done = ended(going, "Failed", "child 'x' failed", failing("Step exceeded its deadline"))
    done["spec"]["activeDeadlineSeconds"] = 0
    return done


def reported(done: Json) -> Json:
    """The same after KFP took note of the end."""
    told = copy.deepcopy(done)
    told["metadata"]["labels"]["pipeline/persistedFinalState"] = "true"
    return told


def node(name: str, kind: str, phase: str, within: str = "", **more: Any) -> Json:
    """A node; its id is its name here."""
    times = {"startedAt": STARTED, "finishedAt": FINISHED}
    made = {"id": name, "name": name, "type": kind, "phase": phase, "boundaryID": within}
    return {**made, **times, **more}


def failing(*messages: str, task: str = "train-dpo", at_last: str = "Failed") -> Json:
    """Nodes of a run in which a task is tried as often as there are messages."""
    root, whole, executor = "w", "w.root", f"w.root.alignment.{task}.executor"
    tries = [f"{executor}({number})" for number in range(len(messages))]
    attempts = [
        node(name, "Pod", "Failed", whole, message=message, startedAt=f"2026-11-29T10:1{n}:00Z")
        for n, (name, message) in enumerate(zip(tries, messages, strict=True))
    ]
    if at_last == "Succeeded":
        attempts[-1] |= {"phase": "Succeeded", "message": ""}
    made = [
        node(root, "DAG", at_last),
        node(whole, "DAG", at_last, root),
        node(executor, "Retry", at_last, whole, children=tries, message="No more retries left"),
        *attempts,
    ]
    return {each["id"]: each for each in made}


def compressed(done: Json) -> Json:
    """The same with its nodes as Argo keeps them from 1 MB on."""
    packed = copy.deepcopy(done)
    nodes = json.dumps(packed["status"].pop("nodes")).encode()
    packed["status"]["compressedNodes"] = base64.b64encode(gzip.compress(nodes)).decode()
    return packed
