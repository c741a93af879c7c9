"""Finished work is reused, unfinished work is taken up, and one writer works at a time."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from filelock import FileLock

from spavl.errors import CorruptShardError, InputError
from spavl.records import SetAside
from spavl.shards import read_manifest, read_records
from spavl.work import Stage, Work, run_stage

STAGE = Stage("trial", "spavl.seeds", {"rows": 3}, {"images": "abc"})


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "run"))


def write_rows(work: Work) -> dict[str, int]:
    with work.writer("rows", SetAside) as writer:
        for index in range(3):
            writer.add(SetAside(str(index), "trial", "reason", "detail"))
    return {"rows": 3}


def test_finished_work_is_published_and_reused(tmp_path: Path) -> None:
    calls = []

    def body(work: Work) -> dict[str, int]:
        calls.append(work.folder)
        return write_rows(work)

    for name in ("first", "second"):
        assert run_stage(STAGE, body, {"rows": tmp_path / name}) == {"rows": 3}
        assert read_manifest(tmp_path / name).rows == 3
    assert len(calls) == 1
    told = json.loads((tmp_path / "run/stages/trial.json").read_text())
    assert told["reused"] is True


@pytest.mark.parametrize(
    "other",
    [
        Stage("trial", "spavl.seeds", {"rows": 4}, {"images": "abc"}),
        Stage("trial", "spavl.seeds", {"rows": 3}, {"images": "abd"}),
        Stage("trial", "spavl.errors", {"rows": 3}, {"images": "abc"}),
    ],
)
def test_other_settings_inputs_or_code_are_other_work(other: Stage) -> None:
    assert other.digest != STAGE.digest


def test_a_failure_is_told_once_and_its_checkpoint_is_found_again(tmp_path: Path) -> None:
    def fail(work: Work) -> dict[str, int]:
        (work.checkpoint / "state").write_text("half")
        raise InputError("a bad row", "row 2", "mend it")

    with pytest.raises(InputError):
        run_stage(STAGE, fail)
    told = json.loads((tmp_path / "run/error.json").read_text())
    assert (told["stage"], told["exit_code"]) == ("trial", 2)
    assert told["message"] == "a bad row (row 2): mend it"

    found = []

    def resume(work: Work) -> dict[str, int]:
        found.append((work.checkpoint / "state").read_text())
        return {}

    run_stage(STAGE, resume)
    assert found == ["half"]
    assert not list((tmp_path / "work").rglob("checkpoint"))


def step(tmp_path: Path, body: str) -> subprocess.Popen[str]:
    script = textwrap.dedent(
        """
        import os, pathlib, signal, time
        from spavl.work import Stage, run_stage
        stage = Stage("trial", "spavl.seeds", {"rows": 3}, {"images": "abc"})
        log = pathlib.Path(os.environ["LOG"])
        def body(work):
        %s
        run_stage(stage, body)
        """
    ) % textwrap.indent(textwrap.dedent(body), "    ")
    environment = {**os.environ, "LOG": str(tmp_path / "log")}
    return subprocess.Popen([sys.executable, "-c", script], env=environment, text=True)


def test_two_writers_of_the_same_work_take_turns_and_the_second_reuses(tmp_path: Path) -> None:
    body = "log.open('a').write('x'); time.sleep(1.5); return {}"
    both = [step(tmp_path, body), step(tmp_path, body)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert (tmp_path / "log").read_text() == "x"


def test_who_waits_for_another_says_so(tmp_path: Path) -> None:
    place = tmp_path / "work" / STAGE.name / f"{STAGE.digest[:32]}.lock"
    place.parent.mkdir(parents=True)
    events = tmp_path / "run/events.jsonl"
    with FileLock(place):
        waiting = step(tmp_path, "return {}")
        deadline = time.monotonic() + 60
        while not events.exists() or "waiting for its end" not in events.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert waiting.poll() is None
    assert waiting.wait(60) == 0


def test_kill_9_frees_the_lock(tmp_path: Path) -> None:
    killed = step(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    assert killed.wait(60) == -signal.SIGKILL
    assert run_stage(STAGE, write_rows) == {"rows": 3}


def test_a_step_ends_with_the_command_line_that_started_it(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    child = (
        "import os, time\n"
        "from spavl.environment import die_with_parent\n"
        "die_with_parent()\n"
        f"open({str(pidfile)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    parent_script = (
        "import os, subprocess, sys\n"
        "os.environ['SPAVL_PARENT'] = str(os.getpid())\n"
        f"subprocess.run(['sh', '-c', '\"$0\" -c \"$1\"; true', sys.executable, {child!r}])\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_script])
    for _ in range(200):
        if pidfile.exists() and pidfile.read_text():
            break
        time.sleep(0.05)
    parent.kill()
    parent.wait(10)
    stat = Path(f"/proc/{pidfile.read_text()}/stat")
    for _ in range(100):
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the step outlived its command line")


def test_the_work_of_a_corrupt_shard_is_done_anew(tmp_path: Path) -> None:
    published = tmp_path / "published"
    run_stage(STAGE, write_rows, {"rows": published})
    shard = published / "part-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    later = Stage("later", "spavl.seeds", {}, {})

    def read(work: Work) -> dict[str, int]:
        return {"rows": sum(1 for _ in read_records(published, SetAside))}

    with pytest.raises(CorruptShardError, match=r"part-00000.*spavl run --resume"):
        run_stage(later, read)
    run_stage(STAGE, write_rows, {"rows": published})
    assert run_stage(later, read) == {"rows": 3}


def test_a_full_disk_is_bad_surroundings_and_not_our_fault(tmp_path: Path) -> None:
    def fill(work: Work) -> dict[str, int]:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run_stage(STAGE, fill)
    told = json.loads((tmp_path / "run/error.json").read_text())
    assert (told["exit_code"], told["expected"]) == (2, True)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_file_that_may_not_be_used_is_named_and_not_our_fault(
    tmp_path: Path, number: int
) -> None:
    def write(work: Work) -> dict[str, int]:
        raise OSError(number, os.strerror(number), str(work.checkpoint))

    with pytest.raises(OSError, match="checkpoint"):
        run_stage(STAGE, write)
    told = json.loads((tmp_path / "run/error.json").read_text())
    assert (told["exit_code"], told["expected"]) == (2, True)
    assert "/checkpoint): mend its permissions, then spavl run --resume" in told["message"]
