"""Why a stage's pod ended or does not start, in plain words, and what to do.

A stage's own error is told by the stage (its event `failed`). This is the rest: what only the
platform knows, read from the pod's status as Kubernetes writes it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from spavl.errors import FAULT_OF_OURS, TRY_AGAIN

Json = Mapping[str, Any]
LAUNCHER_ERROR = re.compile(r"^[EF]\d{4} \S+ +\d+ \S+\] (?P<text>.+)")
"""An error's line in the log of KFP's launcher and driver."""
PASSING_REASONS = {"Evicted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "Preempting"}
KILLED = {137: "SIGKILL", 143: "SIGTERM"}
SMALLER = "choose larger --sizes, or less at once in this stage's settings"
AGAIN = "start it again: finished work is kept"
IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
STUCK_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}


@dataclass(frozen=True)
class Fault:
    """Why a stage ended.

    Attributes:
        reason: In plain words.
        remedy: What to do.
        passing: Whether starting the run again may help, with nothing changed.
        exit_code: What a command line ends with that followed it.
    """

    reason: str
    remedy: str
    passing: bool = False
    exit_code: int = FAULT_OF_OURS

    def __str__(self) -> str:
        return f"{self.reason}: {self.remedy}"


@dataclass
class Said:
    """What a pod's log said of its end.

    Attributes:
        failed: The stage's last event `failed`; none if it told of no failure.
        error: The last error of KFP's launcher or driver.
    """

    failed: dict[str, Any] | None = None
    error: str = ""


def _passing(reason: str) -> Fault:
    return Fault(reason, AGAIN, passing=True, exit_code=TRY_AGAIN)


def gone() -> Fault:
    """A pod that ran and is not there any more."""
    return _passing("its pod is gone: deleted, or its node was lost")


def fault_of(pod: Json, said: Said) -> Fault | None:
    """Why a pod failed; None if it has not."""
    status = pod.get("status", {})
    if interrupted := _interrupted(pod):
        return interrupted
    if status.get("phase") != "Failed":
        return None
    if status.get("reason") == "DeadlineExceeded":
        return Fault("its time limit was reached", "see the kind's timeout in docs/delivery.md")
    for container, ended in _ended(status):
        if ended.get("reason") == "OOMKilled":
            return _out_of_memory(pod, container)
    if said.failed is not None:
        code = int(said.failed.get("exit_code", FAULT_OF_OURS))
        message = str(said.failed.get("message", ""))
        if "memory limit" in message:  # told by the stage's supervisor, after several attempts
            return Fault(message, SMALLER)
        return Fault(message, AGAIN, passing=code == TRY_AGAIN, exit_code=code)
    for container, ended in _ended(status):
        return _exit(container, ended, said)
    return _passing(str(status.get("message") or "its pod failed and does not say why"))


def _interrupted(pod: Json) -> Fault | None:
    """Ended by the cluster, not by itself."""
    status = pod.get("status", {})
    if status.get("phase") != "Failed" and "deletionTimestamp" not in pod["metadata"]:
        return None
    for condition in status.get("conditions", []):
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            why = condition.get("message") or condition.get("reason")
            return _passing(f"its pod was taken away: {why}")
    if status.get("reason") in PASSING_REASONS:
        why = status.get("message") or status["reason"]
        return _passing(f"its pod was taken away: {why}")
    return None


def _ended(status: Json) -> Iterator[tuple[str, Json]]:
    """Containers that failed: first those before the stage, then the stage, then those beside."""
    beside = status.get("containerStatuses", [])
    ordered = sorted(beside, key=lambda one: (one["name"] != "main", one["name"] != "wait"))
    for one in (*status.get("initContainerStatuses", []), *ordered):
        ended = one.get("state", {}).get("terminated")
        if ended and ended.get("exitCode"):
            yield one["name"], ended


def _exit(container: str, ended: Json, said: Said) -> Fault:
    code = ended["exitCode"]
    message = (ended.get("message") or "").strip().splitlines()
    if container == "wait":
        why = message[-1] if message else f"exit code {code}"
        return _passing(f"Argo could not keep the pod's outputs: {why}")
    if ended.get("reason") in ("ContainerCannotRun", "StartError"):
        why = message[-1] if message else ended["reason"]
        return Fault(f"container {container} cannot run: {why}", "look at its image")
    if code in KILLED or "signal: killed" in said.error:
        return _passing(f"container {container} was killed ({KILLED.get(code, 'SIGKILL')})")
    if said.error and "exit status" not in said.error and "signal:" not in said.error:
        return _passing(f"KFP: {said.error}")
    why = said.error or (message[-1] if message else f"container {container}: exit code {code}")
    return Fault(f"it ended without a word ({why})", "the log of its pod tells more")


def _out_of_memory(pod: Json, container: str) -> Fault:
    limit = next(
        (
            one.get("resources", {}).get("limits", {}).get("memory")
            for one in pod.get("spec", {}).get("containers", [])
            if one["name"] == container
        ),
        None,
    )
    said = f" (limit {limit})" if limit else ""
    return Fault(f"its pod was killed: out of memory{said}", SMALLER)


def stuck(pod: Json) -> Fault | None:
    """Why a pod cannot start as things are, where its status tells it."""
    status = pod.get("status", {})
    images = {
        one["name"]: one.get("image")
        for key in ("initContainers", "containers")
        for one in pod.get("spec", {}).get(key, [])
    }
    for one in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
        waiting = one.get("state", {}).get("waiting") or {}
        message = _one_line(waiting.get("message") or waiting.get("reason") or "")
        if waiting.get("reason") in IMAGE_REASONS:
            image = images.get(one["name"]) or one.get("image")
            return Fault(
                f"image {image} cannot be pulled ({message})",
                "push it, name its registry by --image-registry, or give its pull secret",
            )
        if waiting.get("reason") in STUCK_REASONS:
            return Fault(f"container {one['name']} cannot start: {message}", "make what is missing")
    return None


def unscheduled(pod: Json) -> Fault | None:
    """Why no node takes a pod, in the scheduler's words."""
    for condition in pod.get("status", {}).get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Fault(
                f"no node takes its pod: {_one_line(condition.get('message') or '')}",
                "choose --sizes and --pool that a node has, or wait for one (spavl doctor "
                "--cluster compares them)",
            )
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())
