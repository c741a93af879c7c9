"""A pod as a run's pods are, made for a minute: whether its images come, S3 and volumes take files.

It has a run's account, user, labels (so the network policies for runs hold for it), settings,
Secrets and volumes, and asks for little.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from pipelines.doctor.checks import BrokenError, Check, UnknownError
from pipelines.doctor.cluster_view import ClusterView, seen
from pipelines.faults import Said, fault_of, stuck, unscheduled
from pipelines.kubernetes_access import Json
from pipelines.placement import (
    COMPONENT,
    ENVIRONMENT,
    MODELS_PATH,
    MODELS_VOLUME,
    PART_OF,
    S3,
    USER,
    WORK_PATH,
    WORK_VOLUME,
)

SECONDS = 180.0
SECONDS_OF_A_CHECK = SECONDS + 30
DEFAULT_ROOT = "minio://mlpipeline/v2/artifacts"
"""KFP's own pipeline root where ConfigMap kfp-launcher names none."""
PROBE = "main"


def pod_checks(view: ClusterView) -> list[Check]:
    """The checks that one pod answers; it is made by whichever asks first."""
    outcome = _Outcome(view)

    def check(name: str, key: str, remedy: str) -> Check:
        return Check(name, seen(lambda: outcome.told(key)), remedy, True, SECONDS_OF_A_CHECK)

    return [
        check("images", "images", "push them (docs/images.md), or name their --image-registry"),
        check("s3", "s3", "see the chart's s3 values and Secret spa-vl-s3"),
        check("writing", "volumes", "see the log of the chart's job spa-vl-volumes"),
    ]


class _Outcome:
    """What the pod found; it is asked once."""

    def __init__(self, view: ClusterView, seconds: float = SECONDS) -> None:
        self._view, self._seconds = view, seconds
        self._lock = threading.Lock()
        self._found: dict[str, str] | None = None

    def told(self, key: str) -> str:
        with self._lock:
            if self._found is None:
                self._found = _ask(self._view, self._seconds)
        answer = self._found.get(key)
        if answer is None:
            raise UnknownError(f"not known: {self._found.get('', 'the pod did not say')}")
        if answer.startswith("!"):
            raise BrokenError(answer[1:])
        return answer


def _ask(view: ClusterView, seconds: float) -> dict[str, str]:
    """Make the pod, wait for its end, delete it. Answers by check; `!` before what is broken."""
    body = probe_pod(view)
    path = view.core(f"pods/{body['metadata']['name']}")
    view.kubernetes.make(view.core("pods"), body)
    try:
        pod = _ended(lambda: view.kubernetes.get(path), seconds)
        log = view.kubernetes.text(f"{path}/log", container=PROBE) if _began(pod) else ""
    finally:
        view.kubernetes.delete(path)
    return _read(pod, log, body, seconds)


def probe_pod(view: ClusterView) -> Json:
    """The pod: one container that asks, and one that only starts for each further image."""
    asking, *others = _images(view.asked.registry)
    root = (view.data("kfp-launcher") or {}).get("defaultPipelineRoot") or DEFAULT_ROOT
    script = (files("pipelines.doctor") / "probe.py").read_text()
    mounts = [
        {"name": "work", "mountPath": WORK_PATH},
        {"name": "models", "mountPath": MODELS_PATH},
    ]
    command = ["python3", "-c", script, root, WORK_PATH, MODELS_PATH]
    environment = [{"configMapRef": {"name": ENVIRONMENT}}, {"secretRef": {"name": S3}}]
    containers = [
        _container(PROBE, asking, command) | {"envFrom": environment, "volumeMounts": mounts}
    ]
    for number, image in enumerate(others):
        containers.append(_container(f"image-{number}", image, ["python3", "-c", ""]))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"spa-vl-doctor-{secrets.token_hex(4)}",
            "labels": {
                PART_OF: "spa-vl",
                COMPONENT: "light",
                "workflows.argoproj.io/workflow": "spa-vl-doctor",
                "sidecar.istio.io/inject": "false",
            },
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": int(SECONDS),
            "serviceAccountName": "spa-vl-runner",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": containers,
            "volumes": [
                {"name": "work", "persistentVolumeClaim": {"claimName": WORK_VOLUME}},
                {"name": "models", "persistentVolumeClaim": {"claimName": MODELS_VOLUME}},
            ],
        },
    }


def _container(name: str, image: str, command: list[str]) -> Json:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"cpu": "500m", "memory": "512Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _images(registry: str) -> list[str]:
    """One of each repository that this checkout's pipeline takes, that of most stages first."""
    from pipelines.compilation import PIPELINES, compiled
    from pipelines.targeting import Target

    spec = compiled(PIPELINES["spa_vl"], Target(registry))[0]
    executors = spec["deploymentSpec"]["executors"].values()
    by_repository = {
        image.rpartition(":")[0]: image
        for image in (one["container"]["image"] for one in executors)
    }
    return sorted(by_repository.values(), key=lambda image: "/pipeline:" not in image)


def _ended(look: Callable[[], Json | None], seconds: float) -> Json:
    """The pod when it has ended, cannot start, or has had its time."""
    deadline = time.monotonic() + seconds
    pod: Json = {}
    while time.monotonic() < deadline:
        found = look()
        if found is None:
            break
        pod = found
        if pod.get("status", {}).get("phase") in ("Succeeded", "Failed") or stuck(pod):
            break
        time.sleep(1)
    return pod


def _began(pod: Json) -> bool:
    return any(
        one["name"] == PROBE and "waiting" not in one.get("state", {})
        for one in pod.get("status", {}).get("containerStatuses", [])
    )


def _read(pod: Json, log: str, body: Json, seconds: float) -> dict[str, str]:
    found: dict[str, Any] = {}
    for line in log.splitlines():
        if line.startswith("{"):
            found |= json.loads(line)
    if fault := stuck(pod):
        key = "images" if fault.reason.startswith("image ") else ""
        return found | {"": fault.reason, key: f"!{fault.reason}" if key else fault.reason}
    waits = unscheduled(pod)
    if _began(pod):
        images = ", ".join(one["image"] for one in body["spec"]["containers"])
        found["images"] = f"pulled: {images} (one tag of each)"
    if failed := fault_of(pod, Said()):
        found.setdefault("", failed.reason)
    found.setdefault("", waits.reason if waits else f"no end within {seconds:.0f} s")
    return found
