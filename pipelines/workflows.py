"""What an Argo Workflow tells of a run: whether it is ours, its name, how it ended and by what.

Written against KFP 2.17.0 and Argo 4.0.5. KFP ends a run by setting the Workflow's deadline to zero
seconds; what Argo then says of it reads like any other run out of its time.
"""

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from spavl.tracking.launch import PLUGIN, Ending

RUN_ID, RUN_NAME = "pipeline/runid", "pipelines.kubeflow.org/run_name"
COMPLETED = "workflows.argoproj.io/completed"
REPORTED = "pipeline/persistedFinalState"  # KFP knows of the end, and has told its own plugin
PART_OF = ("app.kubernetes.io/part-of", "spa-vl")
KUBERNETES = "kubernetes-"  # arguments that hold what KFP puts into a task's pod
FAILED = ("Failed", "Error")
PLAIN = (
    (re.compile(r"OOMKilled"), "killed, since it needed more memory than it may have"),
    (re.compile(r"exceeded its deadline|longer than the specified deadline"), "timed out"),
    (re.compile(r"pod deleted"), "its pod was deleted"),
    (re.compile(r"Evicted|low on resource"), "its pod was evicted"),
    (re.compile(r"\(exit code (\d+)\)"), r"ended with exit code \1"),
)

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Sight:
    """What a Workflow's metadata tells.

    Attributes:
        workflow: Its name.
        uid: Its unique id; one made anew under the same name has another.
        run_id: KFP's id of the run.
        run_name: The run's name for people.
        completed: Whether Argo is done with it.
        reported: Whether KFP has taken note of the end.
        gone: Whether there is no Workflow any more.
    """

    workflow: str
    uid: str
    run_id: str
    run_name: str
    completed: bool = False
    reported: bool = False
    gone: bool = False


def sight_of(metadata: Json) -> Sight:
    """Read a Workflow's metadata."""
    labels, notes = metadata.get("labels") or {}, metadata.get("annotations") or {}
    run_id = labels[RUN_ID]
    return Sight(
        workflow=metadata["name"],
        uid=metadata["uid"],
        run_id=run_id,
        run_name=notes.get(RUN_NAME) or metadata["name"],  # as KFP names a recurring run's
        completed=labels.get(COMPLETED) == "true",
        reported=labels.get(REPORTED) == "true",
    )


def is_ours(workflow: Json) -> bool:
    """Whether its tasks' pods carry our label."""
    return any(
        (configuration.get("podMetadata") or {}).get("labels", {}).get(PART_OF[0]) == PART_OF[1]
        for configuration in _configurations(workflow)
    )


def plugin_config(workflow: Json) -> str:
    """What KFP's MLflow plugin tells the run's pods; empty where it is off."""
    for template in workflow["spec"].get("templates") or []:
        for variable in (template.get("container") or {}).get("env") or []:
            if variable["name"] == PLUGIN:
                return str(variable.get("value") or "")
    return ""


def ending_of(workflow: Json, stage_error: str = "") -> Ending:
    """How a Workflow that Argo is done with ended.

    Args:
        workflow: The whole of it.
        stage_error: What a stage of the run failed by, as it says itself.
    """
    spec, status = workflow["spec"], workflow["status"]
    when = _seconds(status.get("finishedAt"))
    if status["phase"] == "Succeeded":
        return Ending("FINISHED", time=when)
    if spec.get("shutdown") or spec.get("activeDeadlineSeconds") == 0:
        return Ending("KILLED", "terminated by a person", when)
    if late := out_of_time(workflow):
        return Ending("FAILED", late, when)
    why = stage_error or first_cause(_nodes(status)) or status.get("message")
    return Ending("FAILED", why or f"{status['phase']}, and Argo does not say why", when)


def out_of_time(workflow: Json) -> str:
    """That the deadline of the whole Workflow ended it, in words; empty where it did not."""
    deadline = workflow["spec"].get("activeDeadlineSeconds")
    status = workflow.get("status") or {}
    lasted = _seconds(status.get("finishedAt")) - _seconds(status.get("startedAt"))
    if not deadline or lasted < deadline:
        return ""
    nodes = _nodes(status)
    told = [str(node.get("message", "")) for node in nodes.values()]
    words = ("Step exceeded its deadline", "exceeded workflow deadline")
    cut = any(word in message for message in told for word in words)
    return f"timed out after {deadline} seconds" if cut or not nodes else ""


def _configurations(workflow: Json) -> Iterator[Json]:
    for argument in (workflow["spec"].get("arguments") or {}).get("parameters") or []:
        if argument["name"].startswith(KUBERNETES):
            try:
                content = json.loads(argument.get("value") or "{}")
            except ValueError:
                continue
            if isinstance(content, Mapping):
                yield content


def _nodes(status: Json) -> dict[str, Any]:
    """The nodes, from 1 MB on compressed; none where Argo keeps them in a database."""
    if status.get("nodes"):
        return dict(status["nodes"])
    packed = status.get("compressedNodes")
    return json.loads(gzip.decompress(base64.b64decode(packed))) if packed else {}


def first_cause(nodes: Mapping[str, Any]) -> str:
    """The first task that failed for good, and its last attempt's fault in plain words.

    Args:
        nodes: Argo's nodes by id.
    """
    retried = {
        child: node
        for node in nodes.values()
        if node.get("type") == "Retry"
        for child in node.get("children") or []
    }

    def is_lasting(node: Json | None) -> bool:
        """Whether no later attempt, of it or of what it is in, went well."""
        while node is not None and node.get("phase") in FAILED:
            node = retried.get(node["id"]) or nodes.get(node.get("boundaryID", ""))
        return node is None

    pods = [node for node in nodes.values() if node.get("type") == "Pod" and is_lasting(node)]
    told = [node for node in pods if node.get("message")]
    if not told:
        return ""
    tasks = [retried.get(node["id"], node) for node in told]
    first = min(tasks, key=lambda task: task.get("finishedAt") or "")
    attempts = [node for node, task in zip(told, tasks, strict=True) if task is first]
    last = max(attempts, key=lambda attempt: attempt.get("startedAt") or "")
    return f"{_task(last['name'])}: {_plain(last['message'])}"


def _task(name: str) -> str:
    """`spa-vl-x7.root.alignment.train-dpo.executor(1)` is `train-dpo`."""
    parts = [re.sub(r"\(\d+.*\)$", "", part) for part in name.split(".")]
    named = [part for part in parts if part not in ("executor", "driver", "root")]
    return named[-1].removesuffix("-driver")


def _plain(message: str) -> str:
    for pattern, words in PLAIN:
        if found := pattern.search(message):
            return f"{found.expand(words)} ({message})"
    return message


def _seconds(when: str | None) -> float:
    return datetime.fromisoformat(when).timestamp() if when else 0.0
