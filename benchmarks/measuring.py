"""What the benchmarks share: medians, memory of a fresh process, the machine's name."""

import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MIB = 2**20


class Clock:
    """Seconds of named parts, one entry a repetition.

    Attributes:
        seconds: Part to the seconds of each repetition.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Time the block."""
        start = time.perf_counter()
        yield
        self.add(part, time.perf_counter() - start)

    def add(self, part: str, seconds: float) -> None:
        """Note a repetition."""
        self.seconds.setdefault(part, []).append(seconds)

    def median(self, part: str, warm_up: int = 1) -> float:
        """Median seconds of a part without its first repetitions."""
        return statistics.median(self.seconds[part][warm_up:])


def peak_growth_mib(module: str, arguments: Sequence[str]) -> float:
    """Run a side of a benchmark in a fresh process and take what it prints last, in MiB."""
    command = [sys.executable, "-m", module, *arguments]
    root = Path(__file__).resolve().parents[1]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command, cwd=root, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return float(done.stdout.split()[-1])


def growth_mib(body: Callable[[], object]) -> float:
    """Peak resident memory during `body` over what was resident before, in MiB (Linux)."""
    gc.collect()
    before = _status_kib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    body()
    return (_status_kib("VmHWM") - before) / 1024


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import platform

    import torch

    return {
        "cpus": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "processor": platform.machine(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _status_kib(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])
