"""A disk that fills up in mid-run: one line, and the run goes on when there is room again."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spavl.events import EventReader
from tests.local.running import TINY, spavl_run, start_spavl_run


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, a little larger than a run asks for."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", place]).returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_run_on_a_full_disk_says_so_and_can_be_resumed(disk: Path) -> None:
    process = start_spavl_run(disk, "run", settings=TINY)
    reader = EventReader(disk / "run")
    deadline = time.monotonic() + 300
    while not any(event["event"] == "started" for event in reader.new()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(bytes(2**20))
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 2, output
    [line] = [line for line in output.splitlines() if line.startswith("spavl:")]
    assert "no space left" in line
    assert "spavl run --resume" in line
    filler.unlink()
    resumed = spavl_run(disk, "run", "--resume", settings={})
    assert resumed.code == 0, resumed.output
