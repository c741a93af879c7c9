"""What happens in a run, told as it happens: one line of JSON an event.

Steps append to `events.jsonl` in the run folder; the command line's display, its `--log json` and
MLflow's follower all read that one file. Every event is also printed: as a line for people, or as
JSON where `SPAVL_LOG=json` says that a machine reads the step's output, as in a pod.

| event | fields |
|---|---|
| `started` | `work`: the stage's folder; `process`: its id; `settings`, `inputs` |
| `progress` | `done`, `total`, `unit`, `metrics` |
| `note` | `text`: what a reader of the run should know, e.g. a fallback taken |
| `done` | `seconds`, `imports`, `work` |
| `kept` | `work`: finished by an earlier run |
| `failed` | `message`, `exit_code` |
| `summary` | of the report: `text`, what the gate decided; `table`, the figures as text |
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spavl.environment import run_folder
from spavl.secrets import masked_tree

EVENTS = "events.jsonl"
# What tells most of a stage, the first of these that it reports.
TELLING_METRICS = ("reward_mean", "accuracy", "loss")

SAID = ("settings", "text", "message", "table")
"""Fields that may repeat what somebody else said, secrets among it."""

Event = Mapping[str, Any]


def tell(stage: str, event: str, **fields: Any) -> None:
    """Tell the run of something that happened in a stage.

    Args:
        stage: The stage's name, with the instance where there are several.
        event: One of the events above.
        fields: What belongs to it, as JSON.
    """
    folder = run_folder()
    content = {
        "time": round(time.time(), 3),
        "run": os.environ.get("SPAVL_RUN_ID", ""),
        "stage": stage,
        "event": event,
        **fields,
    }
    content |= {name: masked_tree(content[name]) for name in SAID if name in content}
    line = json.dumps(content)
    print(line if os.environ.get("SPAVL_LOG") == "json" else as_text(content), flush=True)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        # One write in append mode: lines of steps side by side do not mix.
        with (folder / EVENTS).open("ab", buffering=0) as stream:
            stream.write(line.encode() + b"\n")


def as_text(event: Event) -> str:
    """The event as a line for people."""
    told = f"[{event['stage']}] "
    match event["event"]:
        case "started":
            return told + "started"
        case "progress":
            metric = telling_metric(event["metrics"])
            return told + f"{event['done']}/{event['total']} {event['unit']} {metric}".rstrip()
        case "done":
            return told + f"done in {event['seconds']:.1f} s"
        case "kept":
            return told + "kept from an earlier run"
        case "failed":
            return told + f"failed: {event['message']}"
        case _:
            return told + str(event.get("text", ""))


def telling_metric(metrics: Mapping[str, float]) -> str:
    """The one metric that a glance at a stage should tell; empty where it has none."""
    for name in (*TELLING_METRICS, *metrics):
        if name in metrics:
            return f"{name.replace('_', ' ')} {metrics[name]:.3g}"
    return ""


def _event(line: bytes) -> dict[str, Any] | None:
    """An event; None for a line that is none, as a machine leaves it that lost its power."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and _is_whole(event) else None


def _is_whole(event: Event) -> bool:
    """Whether an event has the fields of its kind, each of its type."""
    fields = {"stage": str, "event": str, **FIELDS.get(str(event.get("event")), {})}
    if not all(_is(event.get(name), kind) for name, kind in fields.items()):
        return False
    metrics = event.get("metrics", {})
    return isinstance(metrics, dict) and all(_is(each, NUMBER) for each in metrics.values())


def _is(value: Any, kind: Any) -> bool:
    too_large = isinstance(value, int) and abs(value) >= LARGEST  # no float can hold it
    return isinstance(value, kind) and not too_large


LARGEST = 2**63
NUMBER = (int, float)
FIELDS: dict[str, dict[str, Any]] = {
    "started": {"work": str},
    "progress": {"done": NUMBER, "total": NUMBER, "unit": str, "metrics": dict},
    "done": {"seconds": NUMBER},
    "kept": {"work": str},
    "failed": {"message": str},
}
"""What readers rely on, by the kind of event."""


class EventReader:
    """Reads a run's events as they come.

    Args:
        folder: The run's folder.
        skip: Leave out what was told before.
    """

    def __init__(self, folder: Path, skip: bool = False) -> None:
        self._file = folder / EVENTS
        self._offset = self._file.stat().st_size if skip and self._file.exists() else 0

    def new(self) -> Iterator[dict[str, Any]]:
        """Events told since the last call; a line still being written waits for the next."""
        if not self._file.exists():
            return
        with self._file.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                if (event := _event(line)) is not None:
                    yield event
