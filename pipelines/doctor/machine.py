"""The machine itself: Python, libraries, memory, disks."""

import json
import os
import platform
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from pipelines.doctor.checks import BrokenError, Check, NotThereError, output_of
from spavl.environment import cache_folder, work_root

GIB = 2**30
PYTHON = (3, 11)
LIBRARIES = ("torch", "transformers", "kfp", "mlflow", "pyarrow", "PIL", "grimp")
MEMORY_GIB = 4.0
DISK_GIB = 0.5
SHARED_MEMORY_GIB = 1.0
TORCH_SECONDS = 60.0
"""Importing torch takes seconds, on a cold disk many."""


def machine_checks() -> list[Check]:
    """Checks of the machine itself."""
    work = work_root() if "SPAVL_WORK_ROOT" in os.environ else Path("runs/.work")
    return [
        Check("python", _python, "install Python 3.11 and run make setup", required=True),
        Check("libraries", _libraries, "run make setup", required=True),
        Check("torch", _torch, "run make setup", required=True, seconds=TORCH_SECONDS),
        Check("memory", _memory, f"close programs; a run wants {MEMORY_GIB:g} GiB", required=True),
        Check("runs", lambda: _disk(Path("runs")), "name a folder with --out", required=True),
        Check("work root", lambda: _disk(work), "set SPAVL_WORK_ROOT", required=True),
        Check("cache", lambda: _disk(cache_folder()), "set SPAVL_CACHE", required=True),
        Check("pocket base", _pocket_base, "none needed: the first run trains it in two minutes"),
        Check(
            "shared memory",
            _shared_memory,
            "for training in several processes: docker run --shm-size=8g; on Kubernetes the "
            "compiled pipelines mount it",
        ),
        Check(
            "decoder",
            _decoder,
            "none needed; pip install 'spavl[confined]' and libseccomp confine it further",
        ),
        Check("gpu", _gpu, "none needed for the pocket profile; 7B profiles want CUDA GPUs"),
    ]


def _python() -> str:
    if sys.version_info[:2] != PYTHON:
        raise BrokenError(f"{platform.python_version()} instead of 3.11")
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _libraries() -> str:
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise BrokenError(f"not installed: {', '.join(missing)}")
    return f"{len(LIBRARIES)} of {len(LIBRARIES)} found"


def _torch() -> str:
    """Asked in a process of its own: importing torch here would hold up the other checks."""
    code = (
        "import json, torch; print(json.dumps([torch.__version__, torch.get_num_threads(), "
        "torch.cuda.device_count() if torch.cuda.is_available() else 0]))"
    )
    said = output_of([sys.executable, "-c", code], TORCH_SECONDS)
    version, threads, devices = json.loads(said.splitlines()[-1])
    where = f"CUDA, {devices} devices" if devices else "CPU"
    return f"{version}, {where}, {threads} threads"


def _memory() -> str:
    available = _available_gib()
    cores = len(os.sched_getaffinity(0))
    if available < MEMORY_GIB:
        raise BrokenError(f"{available:.1f} GiB available, {cores} cores")
    return f"{available:.1f} GiB available, {cores} cores"


def _available_gib() -> float:
    """Memory that a process could have: the kernel's guess, and within a container its limit."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no limit is written as "max"
        return available / GIB
    return min(available, limit - used) / GIB


def _disk(folder: Path) -> str:
    """Looks at the nearest folder that exists; makes none."""
    folder = folder.absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise BrokenError(f"cannot write to {there}: {(error.strerror or '').lower()}") from None
    free = shutil.disk_usage(there).free / GIB
    if free < DISK_GIB:
        raise BrokenError(f"{free:.2f} GiB free in {there}, a run wants {DISK_GIB:g}")
    return f"{folder}, {free:.0f} GiB free"


def _pocket_base() -> str:
    kept = sorted((cache_folder() / "base_models").glob("pocket-*"))
    if not kept:
        raise NotThereError("not trained yet")
    return f"{len(kept)} kept in {cache_folder() / 'base_models'}"


def _shared_memory() -> str:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        raise NotThereError("no /dev/shm")
    free = shutil.disk_usage(folder).free / GIB
    if free < SHARED_MEMORY_GIB:
        raise NotThereError(f"{free:.2f} GiB in /dev/shm")
    return f"{free:.0f} GiB in /dev/shm"


def _decoder() -> str:
    """The process that decodes pictures which nobody vouches for."""
    from components.collection.confining import seccomp_missing

    if why := seccomp_missing():
        raise NotThereError(f"bounded, and without privileges; its system calls are not: {why}")
    return "bounded, without privileges, and of few system calls"


def _gpu() -> str:
    devices = output_of(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"])
    if not devices:
        raise NotThereError("nvidia-smi names none")
    return "; ".join(devices.splitlines())
