"""What a run's pods tell: their stages' events, and why they end or do not start.

KFP's own details of a run freeze when Argo compresses the status of its nodes; pods and their logs
do not. A stage prints its events as lines of JSON (`spavl.events`, `SPAVL_LOG=json`).
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipelines.faults import LAUNCHER_ERROR, Fault, Said, fault_of, gone, stuck, unscheduled
from pipelines.kubernetes_access import Json, Kubernetes, NoClusterError, NoRightError
from pipelines.placement import PART_OF
from pipelines.stage_names import Stage, StageNames
from pipelines.workflows import out_of_time
from spavl.errors import InputError
from spavl.events import as_text

RUN_ID, NODE = "pipeline/runid", "workflows.argoproj.io/node-name"
OURS = "spa-vl"
MOST_LINES = "5000"
MOST_UNREAD = 3
SUMMARY = "summary"
"""The report's event that holds the table of figures."""


@dataclass
class _Followed:
    """What is known of one pod.

    Attributes:
        stage: Whose it is.
        label: What it is called for people.
        driver: Whether it is KFP's, which prepares the stage.
        since: Time of the last line read of its log, as Kubernetes writes it.
        waiting: Moment at which it was first seen waiting for a node or its volumes.
        complaint: What was told last of its not starting.
        said: What its log said of its end.
        unread: Times that its log could not be had, one after another.
        over: Whether all was read and told.
    """

    stage: Stage
    label: str
    driver: bool
    since: str = ""
    waiting: float | None = None
    complaint: str = ""
    said: Said = field(default_factory=Said)
    unread: int = 0
    over: bool = False


class RunPods:
    """Follows the pods of one run.

    Args:
        kubernetes: The cluster.
        namespace: Where the run's pods are.
        run_id: KFP's id of the run.
        names: Names of its stages.
        pending_seconds: For how long a pod may wait for a node before that is told.

    Attributes:
        found: Whether the run has any pod here.
        tasks: Tasks that had a pod.
        faults: What stages failed by, by their labels; those that were started again left out.
        table: The figures, once the report has told them.
    """

    def __init__(
        self,
        kubernetes: Kubernetes,
        namespace: str,
        run_id: str,
        names: StageNames,
        pending_seconds: float = 60,
    ) -> None:
        self._kubernetes, self._names = kubernetes, names
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._events = f"/api/v1/namespaces/{namespace}/events"
        self._workflows = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows"
        self._run = f"{RUN_ID}={run_id}"
        self._pending = pending_seconds
        self._pods: dict[str, _Followed] = {}
        self._logs_refused = False
        self.found = False
        self.tasks: set[str] = set()
        self.faults: dict[str, Fault] = {}
        self.table = ""

    def late(self) -> str:
        """That the run's own deadline ended it; empty if not, or where that cannot be seen."""
        try:
            found = self._kubernetes.items(self._workflows, labelSelector=self._run)
        except (InputError, NoClusterError):
            return ""
        return next(filter(None, map(out_of_time, found)), "")

    def look(self) -> Iterator[str]:
        """Lines for what is new since the last look.

        Raises:
            NoRightError: If this account may not list pods there.
            NoClusterError: If the API server does not answer.
        """
        if not self.found:
            self.found = bool(
                self._kubernetes.items(self._path, labelSelector=self._run, limit="1")
            )
        present = self._present()
        uids = {pod["metadata"]["uid"] for pod in present.values()}
        for uid, followed in self._pods.items():
            if uid not in uids and not followed.over:
                followed.over = True
                if not followed.driver:  # drivers that are through are not listed
                    self.faults[followed.label] = gone()
                    yield f"[{followed.label}] {gone().reason}: waiting for another"
        for pod in sorted(present.values(), key=lambda one: one["metadata"]["creationTimestamp"]):
            yield from self._of(pod)

    def _present(self) -> dict[str, Json]:
        """The stages' pods, and drivers that are not through."""
        stages = self._kubernetes.items(self._path, labelSelector=f"{self._run},{PART_OF}={OURS}")
        drivers = self._kubernetes.items(
            self._path,
            labelSelector=f"{self._run},{PART_OF}!={OURS}",
            fieldSelector="status.phase!=Succeeded",
        )
        return {one["metadata"]["name"]: one for one in (*stages, *drivers)}

    def _of(self, pod: Json) -> Iterator[str]:
        name, phase = pod["metadata"]["name"], pod.get("status", {}).get("phase")
        uid = pod["metadata"]["uid"]  # Argo gives a pod that was deleted early on its name again
        followed = self._pods.get(uid)
        if followed is None:
            stage = self._names.at(pod["metadata"].get("annotations", {}).get(NODE, ""))
            if stage is None:
                return
            driver = pod["metadata"].get("labels", {}).get(PART_OF) != OURS
            followed = self._pods[uid] = _Followed(stage, stage.of(_item(pod, stage)), driver)
            if not driver:
                self.tasks.add(stage.task)
                if self.faults.pop(followed.label, None):
                    yield f"[{followed.label}] started again in a new pod"
        if followed.over:
            return
        if phase == "Pending":
            yield from self._waits(pod, followed)
            return
        yield from self._log(name, followed)
        if 0 < followed.unread < MOST_UNREAD:
            return  # its end is told when its log is there
        if fault := fault_of(pod, followed.said):
            followed.over = True
            line = self._failed(followed, fault)
            if followed.said.failed is None or fault.reason != followed.said.failed.get("message"):
                yield line
        followed.over = followed.over or phase in ("Succeeded", "Failed")

    def _failed(self, followed: _Followed, fault: Fault) -> str:
        self.faults[followed.label] = fault
        return f"[{followed.label}] failed: {fault}"

    def _waits(self, pod: Json, followed: _Followed) -> Iterator[str]:
        """One line when it is known why a pod does not start, another when that changes."""
        fault = stuck(pod)
        if fault is None:
            now = time.monotonic()
            followed.waiting = followed.waiting if followed.waiting is not None else now
            if now - followed.waiting < self._pending:
                return
            fault = unscheduled(pod) or self._warned(pod["metadata"]["name"])
        if fault and fault.reason != followed.complaint:
            followed.complaint = fault.reason
            yield f"[{followed.label}] waits: {fault}"

    def _warned(self, name: str) -> Fault | None:
        """What the node says of a pod that it cannot set up, e.g. a Secret that is not there."""
        try:
            events = self._kubernetes.items(
                self._events, fieldSelector=f"involvedObject.name={name},type=Warning"
            )
        except NoRightError:
            return None
        if not events:
            return None
        last = max(events, key=lambda one: one.get("lastTimestamp") or one.get("eventTime") or "")
        message = " ".join(str(last.get("message", "")).split())
        return Fault(f"its pod cannot be set up: {message}", "make what is missing")

    def _log(self, name: str, followed: _Followed) -> Iterator[str]:
        """A stage's events; of its progress the newest alone."""
        progress: dict[str, Any] | None = None
        for line in self._new_lines(name, followed):
            if match := LAUNCHER_ERROR.match(line):
                followed.said.error = match["text"]
            event = _event(line)
            if event is None:
                continue
            if event["event"] == "progress" and event["done"] < event["total"]:
                progress = event
                continue
            if event["event"] == SUMMARY:
                self.table = str(event.get("table", ""))
            if event["event"] == "failed":
                followed.said.failed = event
            if event["event"] in ("started", "done", "kept"):  # it was tried again
                followed.said.failed = None
            progress = None
            yield as_text({**event, "stage": followed.label})
        if progress:
            yield as_text({**progress, "stage": followed.label})

    def _new_lines(self, name: str, followed: _Followed) -> Iterator[str]:
        if self._logs_refused:
            return
        # Only a time can be asked from, and it has whole seconds.
        part = {"sinceTime": followed.since[:19] + "Z"} if followed.since else {}
        part |= {} if followed.since else {"tailLines": MOST_LINES}
        try:
            log = self._kubernetes.text(
                f"{self._path}/{name}/log", container="main", timestamps="true", **part
            )
        except NoRightError:
            self._logs_refused = True
            return
        except (InputError, NoClusterError):  # it has not begun; its node does not answer
            followed.unread += 1
            return
        followed.unread = 0
        last = followed.since
        for line in log.split("\n"):
            when, _, text = line.partition(" ")
            if when > last:
                followed.since = max(when, followed.since)
                yield text


def _event(line: str) -> dict[str, Any] | None:
    """A stage's event; None for all else that a pod prints."""
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and {"event", "stage"} <= set(event) else None


def _item(pod: Json, stage: Stage) -> str:
    """The loop's item that a pod was given, from what KFP's driver told its launcher."""
    main = next((one for one in pod["spec"]["containers"] if one["name"] == "main"), {})
    words = [*main.get("command", []), *main.get("args", [])]
    if not stage.item_input or "--executor_input" not in words:
        return ""
    try:
        given = json.loads(words[words.index("--executor_input") + 1])
        return str(given["inputs"]["parameterValues"][stage.item_input])
    except (ValueError, LookupError, TypeError):
        return ""
