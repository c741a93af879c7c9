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
    """Seconds of named parts, one entry a repetition: on the wall and of this process's CPUs.

    On a machine that others use too the wall tells little; without them both say the same.
    """

    def __init__(self) -> None:
        self._wall: dict[str, list[float]] = {}
        self._cpu: dict[str, list[float]] = {}
        self._begun: tuple[float, float] = (0.0, 0.0)

    def begin(self) -> None:
        """Start a part."""
        self._begun = time.perf_counter(), time.process_time()

    def end(self, part: str) -> None:
        """Note the part that was started."""
        self._wall.setdefault(part, []).append(time.perf_counter() - self._begun[0])
        self._cpu.setdefault(part, []).append(time.process_time() - self._begun[1])

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Time the block."""
        self.begin()
        yield
        self.end(part)

    def medians(self, warm_up: int = 1) -> tuple[dict[str, float], dict[str, float]]:
        """Median seconds of each part without its first repetitions: wall, CPU."""
        return _medians(self._wall, warm_up), _medians(self._cpu, warm_up)


class Rounds:
    """Tells how long a benchmark will take, and keeps its figures after every repetition.

    Args:
        total: Repetitions in all, those that warm up included.
        found: The figures; what comes with a repetition is put there.
        keep: Given the figures after each, e.g. to write them.
    """

    def __init__(
        self, total: int, found: dict[str, Any], keep: Callable[[dict[str, Any]], None]
    ) -> None:
        self._total, self._found, self._keep = total, found, keep
        self._number = 0
        self._begun = time.monotonic()

    def done(self, figures: dict[str, Any]) -> None:
        """A repetition is done."""
        self._number += 1
        self._found |= figures | {"repetitions_done": self._number}
        self._keep(self._found)
        left = (time.monotonic() - self._begun) / self._number * (self._total - self._number)
        print(
            f"repetition {self._number} of {self._total}: about {left:.0f} s more",
            file=sys.stderr,
            flush=True,
        )


def _medians(seconds: dict[str, list[float]], warm_up: int) -> dict[str, float]:
    return {
        part: statistics.median(every[warm_up:])
        for part, every in seconds.items()
        if len(every) > warm_up
    }


def peak_growth_mib(module: str, arguments: Sequence[str]) -> float:
    """Run a side of a benchmark in a fresh process and take what it prints last, in MiB."""
    return float(last_line_of(module, arguments).split()[-1])


def last_line_of(module: str, arguments: Sequence[str]) -> str:
    """Run a side of a benchmark in a fresh process and take the last line it prints."""
    command = [sys.executable, "-m", module, *arguments]
    root = Path(__file__).resolve().parents[1]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command, cwd=root, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout.splitlines()[-1]


def growth_mib(body: Callable[[], object]) -> float:
    """Peak resident memory during `body` over what was resident before, in MiB (Linux)."""
    gc.collect()
    before = _status_kib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    body()
    return (_status_kib("VmHWM") - before) / 1024


def peak_mib() -> float:
    """Peak resident memory of this process until now, in MiB (Linux)."""
    return _status_kib("VmHWM") / 1024


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
