"""System metrics of the stages at work: processor and memory of their processes, GPUs if any."""

import contextlib
import json
import threading
import time
from pathlib import Path
from typing import Any

from spavl.tracking.positions import FOLDER
from spavl.tracking.stages import StageReader, StageView

SECONDS_BETWEEN_SAMPLES = 5.0


def sample_until(ended: threading.Event, folder: Path, only: str | None) -> None:
    """Append a sample of every running stage to `tracking/<stage>.system.jsonl`.

    The names begin with `system/`, by which MLflow's UI gives them a page of their own.

    Args:
        ended: Ends the sampling.
        folder: The run's folder.
        only: The one stage to watch; None for all. A pod sees its own processes only.
    """
    reader = StageReader(folder)
    gpus = _gpu_monitor()
    processes: dict[int, Any] = {}
    while not ended.wait(SECONDS_BETWEEN_SAMPLES):
        for view in list(reader.read().values()):
            if view.state == "running" and view.process and only in (None, view.name):
                values = _sample(view.process, processes)
                if values:
                    _keep(folder, view, {**values, **_gpu_values(gpus)})


def _sample(pid: int, processes: dict[int, Any]) -> dict[str, float]:
    """A process and those below it; empty at first sight, when there is nothing to compare with."""
    import psutil

    try:
        first = pid not in processes
        process = processes.setdefault(pid, psutil.Process(pid))
        family = [process, *process.children(recursive=True)]
        share = memory = 0.0
        for each in family:
            known = processes.setdefault(each.pid, each)
            share += known.cpu_percent(None)
            memory += known.memory_info().rss
    except psutil.Error:
        return {}
    if first:
        return {}
    return {
        "system/process_cpu_percentage": round(share, 1),
        "system/process_memory_megabytes": round(memory / 1e6, 1),
        "system/cpu_utilization_percentage": psutil.cpu_percent(None),
        "system/system_memory_usage_percentage": psutil.virtual_memory().percent,
    }


def _keep(folder: Path, view: StageView, values: dict[str, float]) -> None:
    now = time.time()
    row = {"step": round(now - (view.started or now)), "time": round(now, 3), **values}
    with (folder / FOLDER / f"{view.name}.system.jsonl").open("a") as stream:
        stream.write(json.dumps(row) + "\n")


def _gpu_monitor() -> Any | None:
    """MLflow's own, where there is a GPU and NVIDIA's library to ask it."""
    with contextlib.suppress(Exception):
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

        return GPUMonitor()
    return None


def _gpu_values(monitor: Any | None) -> dict[str, float]:
    if monitor is None:
        return {}
    monitor.clear_metrics()
    monitor.collect_metrics()
    return {f"system/{name}": float(value) for name, value in monitor.aggregate_metrics().items()}
