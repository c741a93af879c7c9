"""What a run's files say of its stages, for whoever follows them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from spavl.events import EventReader
from spavl.storable import read_json

CURVES = "curves.jsonl"
State = Literal["running", "done", "failed"]


@dataclass
class StageView:
    """A stage as its events and files tell of it.

    Attributes:
        name: The stage.
        work: Its work folder.
        state: Whether it runs, is done, or failed.
        reused: Its work was finished by another run.
        started: Seconds since 1970; None where nobody told.
        ended: The same.
        process: The process that works on it; None where nobody told.
        facts: Settings and inputs as soon as it starts; all of its commit when it is done.
        message: What it failed by; empty unless it failed.
    """

    name: str
    work: Path
    state: State = "running"
    reused: bool = False
    started: float | None = None
    ended: float | None = None
    process: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    message: str = ""

    @property
    def work_id(self) -> str:
        """Names the work in any store: stage and digest, no place of this machine."""
        return f"{self.work.parent.name}/{self.work.name}"


class StageReader:
    """Keeps the views of a run's stages up to date with its files.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._events = EventReader(folder)
        self.views: dict[str, StageView] = {}

    def read(self) -> dict[str, StageView]:
        """The views, with what was told since the last call."""
        for event in self._events.new():
            self._take(event)
        for file in sorted((self._folder / "stages").glob("*.json")):
            self._complete(file)
        return self.views

    def _take(self, event: Mapping[str, Any]) -> None:
        name, when = event["stage"], event["time"]
        known = self.views.get(name)
        match event["event"]:
            case "started":
                again = known is not None and known.work == Path(event["work"])
                view = (
                    known if known is not None and again else StageView(name, Path(event["work"]))
                )
                view.state, view.message = "running", ""
                view.started = view.started or when
                view.process = event.get("process")
                view.facts = {key: event[key] for key in ("settings", "inputs") if key in event}
                self.views[name] = view
            case "kept":
                if known is None or known.work != Path(event["work"]):
                    known = StageView(name, Path(event["work"]), reused=True, started=when)
                    self.views[name] = known
                known.state, known.ended = "done", known.ended or when
            case "done" if known is not None:
                known.state, known.ended = "done", when
            case "failed" if known is not None:
                known.state, known.ended, known.message = "failed", when, event["message"]

    def _complete(self, file: Path) -> None:
        """A finished stage's commit; runs of old had these files and no events."""
        view = self.views.get(file.stem)
        if view is not None and (view.state != "done" or "result" in view.facts):
            return
        try:
            facts = read_json(file.read_bytes())
        except ValueError:  # damaged: its events tell what is known of it
            return
        if view is None:
            when = file.stat().st_mtime
            started = when - facts["seconds"] - facts["imports"]
            view = StageView(file.stem, Path(facts["work"]), "done", facts["reused"], started, when)
            self.views[file.stem] = view
        if view.work == Path(facts["work"]):
            view.facts = facts


@dataclass(frozen=True)
class CurveRow:
    """A step of a curve: its number, seconds since 1970, values, and where its line ends."""

    step: int
    time: float
    values: dict[str, Any]
    end: int


def rows_after(file: Path, step: int, offset: int = 0) -> Iterator[CurveRow]:
    """A curve's rows with a greater step, from an offset in bytes.

    A line still being written waits for the next call; one that is no row is left out.
    """
    if not file.exists():
        return
    with file.open("rb") as stream:
        stream.seek(offset if offset <= file.stat().st_size else 0)
        end = stream.tell()
        for line in stream:
            if not line.endswith(b"\n"):
                return
            end += len(line)
            try:
                values = json.loads(line)
                number, when = int(values.pop("step")), float(values.pop("time", 0.0))
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                continue
            if number > step:
                step = number
                yield CurveRow(number, when, values, end)
