"""Several nodes: a TrainJob of Kubeflow Trainer's, made after the step's own pod.

What the step's pod has (image, environment, volumes, account, place), the nodes' pods get, so that
nothing is said twice and a node sees the same work folder. The manifest is plain data of Trainer's
API v1alpha1, as of Trainer 2.3.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spavl.pod_environment import ENVIRONMENT
from spavl.settings.alignment import AlignmentSettings

Json = dict[str, Any]
RUNTIME = "SPAVL_TRAINING_RUNTIME"
RESOURCES = "SPAVL_TRAINING_RESOURCES"
# What a training process asks of its environment; MLflow is told by the step's follower.
PASSED_ON = ("SPAVL_", "AWS_", "HF_", "NCCL_", "OMP_")
MAIN = "main"  # Argo's name for a step's container
NODE = "node"  # Trainer's name for the job of training nodes, and for its container
MANAGER = "spa-vl.kubeflow.org/trainer"
PART = {"app.kubernetes.io/part-of": "spa-vl", "app.kubernetes.io/component": "training"}
QUEUE = "kueue.x-k8s.io/queue-name"
SECONDS_TO_END = 600  # for a step and its checkpoint after SIGTERM
SCRATCH = "scratch"
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
}


def train_job_name(stage: str, digest: str) -> str:
    """The name of a stage's TrainJob: one of its work, so that an attempt finds a former one's."""
    return f"spa-vl-{stage.replace('_', '-')}-{digest[:12]}"


def train_job(name: str, folder: Path, settings: AlignmentSettings, pod: Mapping[str, Any]) -> Json:
    """The TrainJob that does a task.

    Args:
        name: Its name.
        folder: Holds the task; on a volume that nodes see at the same path.
        settings: A trainer's settings.
        pod: The step's own pod, as Kubernetes tells it.

    Returns:
        The object, as JSON.
    """
    spec = pod["spec"]
    main = next(one for one in spec["containers"] if one["name"] == MAIN)
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {
            "name": name,
            "namespace": pod["metadata"]["namespace"],
            "labels": PART | _queue(pod["metadata"]),
        },
        "spec": {
            "runtimeRef": {"name": os.environ.get(RUNTIME, "torch-distributed")},
            "trainer": {
                "image": main["image"],
                "command": ["python3", "-m", "spavl.alignment.node", str(folder)],
                "env": _environment(main),
                "numNodes": settings.num_nodes,
                "numProcPerNode": settings.num_processes,
                "resourcesPerNode": _resources(main),
            },
            "runtimePatches": [_patch(_pod_patch(spec, main))],
        },
    }


def _queue(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The step's own Kueue queue; on the TrainJob alone, whose pods Kueue then lets through."""
    labels = metadata.get("labels") or {}
    return {QUEUE: labels[QUEUE]} if labels.get(QUEUE) else {}


def _environment(main: Mapping[str, Any]) -> list[Json]:
    """The pod's own by reference, so that no secret is written down; a field's by value."""
    found = []
    for one in main.get("env", []):
        if one["name"].startswith(PASSED_ON):
            of_a_field = "fieldRef" in one.get("valueFrom", {})
            value = {"name": one["name"], "value": os.environ.get(one["name"], "")}
            found.append(value if of_a_field else dict(one))
    return found


def _resources(main: Mapping[str, Any]) -> Json:
    """A node's size: what the namespace's ConfigMap says, else the step's own."""
    named = os.environ.get(RESOURCES)
    if named:
        return {"requests": json.loads(named), "limits": json.loads(named)}
    return {key: dict(value) for key, value in main.get("resources", {}).items() if value}


def _pod_patch(spec: Mapping[str, Any], main: Mapping[str, Any]) -> Json:
    volumes = [one for one in spec.get("volumes", []) if _is_ours(one, main)]
    names = {one["name"] for one in volumes}
    mounts = [dict(one) for one in main.get("volumeMounts", []) if one["name"] in names]
    mounts.append({"name": SCRATCH, "mountPath": "/tmp"})
    patch = {
        "serviceAccountName": spec.get("serviceAccountName", "default"),
        "terminationGracePeriodSeconds": SECONDS_TO_END,
        "securityContext": POD_SECURITY,
        "volumes": [*map(dict, volumes), {"name": SCRATCH, "emptyDir": {}}],
        "containers": [
            {"name": NODE, "volumeMounts": mounts, "securityContext": CONTAINER_SECURITY}
        ],
    }
    places = ("nodeSelector", "tolerations", "affinity", "imagePullSecrets")
    return patch | {key: spec[key] for key in places if spec.get(key)}


def _is_ours(volume: Mapping[str, Any], main: Mapping[str, Any]) -> bool:
    """Claims, shared memory, settings and secrets; not what Argo and KFP put beside them."""
    if "persistentVolumeClaim" in volume:
        return True
    paths = {m["name"]: m["mountPath"] for m in main.get("volumeMounts", [])}
    path = paths.get(volume["name"], "")
    return path == "/dev/shm" or Path(path).is_relative_to(ENVIRONMENT.parent)


def _patch(pod: Json) -> Json:
    """A pod's patch where Trainer looks for it: runtime, JobSet, job, pod."""
    template = {"metadata": {"labels": PART}, "spec": pod}
    job = {"name": NODE, "template": {"spec": {"template": template}}}
    jobs = {"template": {"spec": {"replicatedJobs": [job]}}}
    return {"manager": MANAGER, "trainingRuntimeSpec": jobs}
