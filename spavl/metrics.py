"""Figures of a running stage for Prometheus: `/metrics` of its process while it runs.

On where `SPAVL_METRICS_PORT` names a port, as in pods whose chart has a PodMonitor.

| metric | labels | meaning |
|---|---|---|
| `spavl_stage_done_total` | `stage`, `unit` | rows, steps, ... done, counted by the stage |
| `spavl_stage_planned` | `stage`, `unit` | how many there are |
| `spavl_stage_metric` | `stage`, `metric` | the latest that the stage reports, e.g. `loss` |
| `spavl_stage_told_timestamp_seconds` | `stage` | when it last told anything |

beside the process's own (`process_resident_memory_bytes`, ...). The figures are the run's events,
read when Prometheus asks, so they cannot disagree with the display, and no stage is slowed.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from spavl.environment import run_folder
from spavl.events import EventReader, tell

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

PORT = "SPAVL_METRICS_PORT"


@contextlib.contextmanager
def exposed(stage: str) -> Iterator[None]:
    """Answer Prometheus for a stage while the block runs; a port that is taken is only told.

    Args:
        stage: The stage's name, as in its events.
    """
    folder, port = run_folder(), os.environ.get(PORT)
    if folder is None or not port:
        yield
        return
    from prometheus_client import start_http_server

    registry = _registry(StageFigures(stage, EventReader(folder, skip=True)))
    try:
        server, thread = start_http_server(int(port), registry=registry)
    except (OSError, OverflowError, ValueError) as error:
        tell(stage, "note", text=f"no metrics for Prometheus: {PORT}={port}: {error}")
        yield
        return
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class StageFigures:
    """What a stage's events said last; a collector of prometheus_client's.

    Args:
        stage: The stage's name.
        reader: Reads the run's events, those of other stages too.
    """

    def __init__(self, stage: str, reader: EventReader) -> None:
        self._stage, self._reader = stage, reader
        self._reading = threading.Lock()  # there may be several Prometheus
        self._done: dict[str, float] = {}
        self._planned: dict[str, float] = {}
        self._metrics: dict[str, float] = {}
        self._told = 0.0

    def collect(self) -> Iterator["Metric"]:
        """The figures as they are now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        with self._reading:
            self._read()
        units, metrics = ["stage", "unit"], ["stage", "metric"]
        done = CounterMetricFamily("spavl_stage_done", "Units done.", labels=units)
        planned = GaugeMetricFamily("spavl_stage_planned", "Units there are.", labels=units)
        latest = GaugeMetricFamily("spavl_stage_metric", "Latest reported.", labels=metrics)
        for family, figures in (
            (done, self._done),
            (planned, self._planned),
            (latest, self._metrics),
        ):
            for name, value in figures.items():
                family.add_metric([self._stage, name], value)
            yield family
        name, text = "spavl_stage_told_timestamp_seconds", "When the stage last told anything."
        told = GaugeMetricFamily(name, text, labels=["stage"])
        told.add_metric([self._stage], self._told)
        yield told

    def _read(self) -> None:
        for event in self._reader.new():
            if event["stage"] != self._stage:
                continue
            self._told = event["time"]
            if event["event"] == "progress":
                self._done[event["unit"]] = event["done"]
                self._planned[event["unit"]] = event["total"]
                self._metrics.update(event["metrics"])


def _registry(figures: StageFigures) -> "CollectorRegistry":
    from prometheus_client import CollectorRegistry, ProcessCollector

    registry = CollectorRegistry()
    registry.register(figures)
    ProcessCollector(registry=registry)
    return registry
