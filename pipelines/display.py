"""How a run looks while it goes: a live display, plain lines, or lines of JSON.

All three read the run's events; a thread follows the file while the DAG is walked.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from spavl.events import EventReader, as_text, telling_metric

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LogFormat = Literal["auto", "plain", "json"]
SECONDS_BETWEEN_LOOKS = 0.2


@contextlib.contextmanager
def shown(folder: Path, console: TextIO, log: LogFormat) -> Iterator[None]:
    """Show a run's events on the console until the block ends.

    Args:
        folder: The run's folder; events told before are left out.
        console: Where to show them.
        log: `auto` is a live display on a terminal and plain lines elsewhere.
    """
    reader = EventReader(folder, skip=True)
    with _shower(console, log) as show, _following(reader, show):
        yield


@contextlib.contextmanager
def _following(reader: EventReader, show: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    ended = threading.Event()

    def follow() -> None:
        while True:
            last = ended.wait(SECONDS_BETWEEN_LOOKS)
            for event in reader.new():
                show(event)
            if last:
                return

    thread = threading.Thread(target=follow, name="display", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _shower(console: TextIO, log: LogFormat) -> Iterator[Callable[[dict[str, Any]], None]]:
    if log == "json":
        yield lambda event: print(json.dumps(event), file=console, flush=True)
    elif log == "plain" or not console.isatty():
        yield PlainLines(console)
    else:
        with LiveDisplay(console) as display:
            yield display


class PlainLines:
    """One line an event; a stage's progress at most every few seconds."""

    SECONDS_BETWEEN_PROGRESS = 5.0

    def __init__(self, console: TextIO) -> None:
        self._console = console
        self._last: dict[str, float] = {}

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event."""
        if event["event"] == "progress" and event["done"] < event["total"]:
            now = time.monotonic()
            if now - self._last.get(event["stage"], 0.0) < self.SECONDS_BETWEEN_PROGRESS:
                return
            self._last[event["stage"]] = now
        print(as_text(event), file=self._console, flush=True)


class LiveDisplay:
    """A bar for each stage at work: rows, rate, time left and the metric that matters now."""

    def __init__(self, console: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=console, highlight=False)
        self._progress = _progress(self._console)
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> "LiveDisplay":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event."""
        stage = event["stage"]
        match event["event"]:
            case "started":
                self._bar(stage)
            case "progress":
                self._move(event)
            case "done":
                self._end(stage, f"[green]✓[/] {stage:<24} {_duration(event['seconds'])}")
            case "kept":
                self._end(stage, f"[dim]✓ {stage:<24} kept[/]")
            case "failed":
                self._end(stage, f"[red]✗[/] {stage}")
            case _:
                from rich.markup import escape

                self._console.print(f"  [yellow]{stage}[/]: {escape(str(event.get('text', '')))}")

    def _bar(self, stage: str) -> "TaskID":
        if stage not in self._bars:
            self._bars[stage] = self._progress.add_task(
                stage, total=None, unit="", rate="", metric=""
            )
        return self._bars[stage]

    def _move(self, event: dict[str, Any]) -> None:
        bar = self._bar(event["stage"])
        self._progress.update(
            bar,
            completed=event["done"],
            total=event["total"],
            unit=event["unit"],
            metric=telling_metric(event["metrics"]),
        )
        [speed] = [task.speed for task in self._progress.tasks if task.id == bar]
        self._progress.update(bar, rate=f"{speed:.3g}/s" if speed else "")

    def _end(self, stage: str, line: str) -> None:
        if stage in self._bars:
            self._progress.remove_task(self._bars.pop(stage))
        self._console.print(line)


def _progress(console: Any) -> "Progress":
    from rich import progress

    return progress.Progress(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description:<24}"),
        progress.BarColumn(bar_width=24),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[unit]}"),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(compact=True),
        progress.TextColumn("[cyan]{task.fields[metric]}"),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)} min {rest:.0f} s" if minutes else f"{rest:.1f} s"
