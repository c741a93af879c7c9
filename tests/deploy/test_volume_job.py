"""The job that tests volumes, as a process on real folders: one line for each fault."""

import errno
import fcntl
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from tests.deploy.rendering import CHART

SCRIPT = CHART / "files" / "volumes.py"
USER = 10001
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away and mounts")


# Another user may not be able to read this Python's own modules: they are loaded before.
AS_USER = f"""
import collections.abc, dataclasses, errno, fcntl, os, shutil, sys, tempfile
os.setgroups([]), os.setgid({USER}), os.setuid({USER})
"""


def asked(*volumes: str, as_user: bool = False) -> "subprocess.CompletedProcess[str]":
    """The script as the pod runs it; as the pod's user too."""
    script = (AS_USER if as_user else "") + SCRIPT.read_text()
    command = [sys.executable, "-c", script, *volumes]
    return subprocess.run(command, capture_output=True, text=True)


def line(done: "subprocess.CompletedProcess[str]") -> str:
    """Its only line, that of a fault."""
    assert done.returncode == 1, done
    assert done.stderr == ""
    [only] = done.stdout.splitlines()
    return only


@pytest.fixture(name="folder")
def open_folder(tmp_path: Path) -> Path:
    """A folder that every user reaches and only its owner writes."""
    shared = Path(tempfile.gettempdir()).resolve()
    for each in (*tmp_path.parents, tmp_path):
        if each != shared and each.is_relative_to(shared):
            each.chmod(0o755)
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small file system of its own; skips where none may be mounted."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_good_volume_is_told_and_left_as_it_was(folder: Path) -> None:
    other = folder.with_name("other")
    other.mkdir()
    done = asked(f"spa-vl-work={folder}=0", f"spa-vl-models={other}=0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "volume spa-vl-work" in done.stdout
    assert list(folder.iterdir()) == list(other.iterdir()) == []


@as_root
@pytest.mark.parametrize("mode", [0o755, 0o555, 0o700])
def test_a_folder_of_root_is_told_with_what_to_do_on_its_server(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    told = line(asked(f"spa-vl-work={folder}=0", as_user=True))
    assert told.startswith(f"volume spa-vl-work ({folder}): user 10001 may not write")
    assert f"it belongs to 0:0 with mode {mode:o}" in told
    assert told.endswith("chown 10001:10001 and chmod 2775 this folder (of NFS, the one exported)")


@as_root
def test_what_the_line_advises_helps(folder: Path) -> None:
    os.chown(folder, USER, USER)
    folder.chmod(0o2775)
    assert asked(f"spa-vl-work={folder}=0", as_user=True).returncode == 0


@as_root
def test_the_group_of_a_pod_is_enough(folder: Path) -> None:
    """So a node leaves a volume that takes fsGroup."""
    os.chown(folder, 0, USER)
    folder.chmod(0o2775)
    assert asked(f"spa-vl-work={folder}=0", as_user=True).returncode == 0


@as_root
def test_a_volume_mounted_for_reading_is_told(tmp_path: Path) -> None:
    with mounted(tmp_path / "read-only", "ro,mode=1777") as place:
        told = line(asked(f"spa-vl-models={place}=0"))
    assert f"volume spa-vl-models ({place}): no folder can be made" in told
    assert told.endswith("it is mounted read-only: export and mount it for writing")


@as_root
def test_a_full_volume_is_told(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=64k,mode=1777") as place:
        (place / "filler").write_bytes(bytes(52 * 1024))
        assert asked(f"spa-vl-work={place}=0").returncode == 0
        (place / "more").write_bytes(bytes(12 * 1024))
        told = line(asked(f"spa-vl-work={place}=0"))
    assert "(No space left on device): it is full: make room" in told


@as_root
def test_a_volume_with_too_little_room_is_told_with_both_figures(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=64m,mode=1777") as place:
        told = line(asked(f"spa-vl-work={place}=3"))
    assert told.startswith(f"volume spa-vl-work ({place}): 0.1 GiB free, 3 GiB wanted")


def test_two_volumes_on_one_disk_need_the_sum(folder: Path) -> None:
    other = folder.with_name("other")
    other.mkdir()
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize / 2**30
    each = free * 0.7
    told = line(asked(f"spa-vl-work={folder}={each}", f"spa-vl-models={other}={each}"))
    assert re.match(r"volume spa-vl-work \(.*\) and volume spa-vl-models \(.*\): .* GiB free", told)
    assert asked(f"spa-vl-work={folder}={each}").returncode == 0


@as_root
def test_each_volume_has_its_own_line(tmp_path: Path, folder: Path) -> None:
    with mounted(tmp_path / "small", "size=1m,mode=1777") as place:
        done = asked(f"spa-vl-work={folder}=0", f"spa-vl-models={place}=1", as_user=True)
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert "spa-vl-work" in first
    assert "spa-vl-models" in second


def test_nothing_mounted_is_told(folder: Path) -> None:
    told = line(asked(f"spa-vl-work={folder / 'missing'}=0"))
    assert "nothing is mounted there" in told


@pytest.fixture(name="script")
def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chart_volumes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# No file system of this machine lacks these: the calls fail as one that does would make them fail.
@pytest.mark.parametrize("name", ["flock", "lockf"])
def test_a_file_system_without_locks_is_told(
    folder: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setitem(script.LOCKS, name, refuse)
    [told] = script.used([script.Volume("spa-vl-work", str(folder), 0)])
    assert f"{name} is refused (No locks available): NFS: mount it with nfsvers=4" in told


@pytest.mark.parametrize("name", ["flock", "lockf"])
def test_a_lock_that_two_processes_get_is_told(
    folder: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(script.LOCKS, name, lambda *_: None)
    [told] = script.used([script.Volume("spa-vl-work", str(folder), 0)])
    assert f"{name} gives one lock to two processes: a run needs a file system" in told
    assert fcntl.flock is script.LOCKS["flock"] or name == "flock"


@pytest.mark.parametrize(
    ("call", "told"),
    [("rename", "nothing can be renamed"), ("fsync", "a file cannot be written")],
)
def test_a_bucket_behind_a_mount_is_told(
    folder: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch, call: str, told: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, call, refuse)
    [found] = script.used([script.Volume("spa-vl-work", str(folder), 0)])
    assert f"{told} (Operation not supported): a run needs a file system" in found
