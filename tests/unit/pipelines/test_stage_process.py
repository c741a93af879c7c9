"""A stage in its pod: started again after what may pass, ended by what will not."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pipelines.memory_limit import MemoryLimit
from pipelines.stage_process import Patience, check_pod, supervise
from spavl.errors import BAD_INPUT, DONE, FAULT_OF_OURS, TRY_AGAIN, InputError

ROOT = Path(__file__).resolve().parents[3]
SOON = Patience(attempts=4, pause=0.0)


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def program(tmp_path: Path, text: str) -> list[str]:
    """A stage of a few lines; `attempt` counts how often it was started, from 1."""
    counter = tmp_path / "counter"
    head = f"""
        import os, signal, sys
        from pathlib import Path
        counter = Path({str(counter)!r})
        attempt = len(counter.read_text()) + 1 if counter.exists() else 1
        counter.write_text("." * attempt)
    """
    file = tmp_path / "stage.py"
    file.write_text(textwrap.dedent(head) + textwrap.dedent(text))
    return [sys.executable, str(file)]


def attempts(tmp_path: Path) -> int:
    return len((tmp_path / "counter").read_text())


@pytest.mark.parametrize(
    "fault",
    ["os.kill(os.getpid(), signal.SIGKILL)", "sys.exit(75)", "sys.exit(attempt + 10)"],
)
def test_a_fault_that_passes_costs_an_attempt_and_not_the_stage(
    tmp_path: Path, run_folder: Path, fault: str
) -> None:
    command = program(tmp_path, f"if attempt < 3: {fault}")
    assert supervise(command, "stage", SOON, MemoryLimit()).exit_code == DONE
    assert attempts(tmp_path) == 3
    assert not (run_folder / "error.json").exists()


def test_a_stage_that_is_always_killed_is_given_up(tmp_path: Path, run_folder: Path) -> None:
    command = program(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    end = supervise(command, "stage", SOON, MemoryLimit())
    assert (end.exit_code, end.reason) == (TRY_AGAIN, "killed by signal 9")
    assert attempts(tmp_path) == SOON.attempts


def test_bad_input_is_final(tmp_path: Path, run_folder: Path) -> None:
    command = program(
        tmp_path,
        """
        from spavl.errors import InputError
        from spavl.work import report_error
        report_error("align", InputError("no folder", "/models/none", "name another"))
        sys.exit(2)
        """,
    )
    end = supervise(command, "stage", SOON, MemoryLimit())
    assert (end.stage, end.exit_code) == ("align", BAD_INPUT)
    assert end.reason == "no folder (/models/none): name another"
    assert attempts(tmp_path) == 1


def test_the_same_fault_twice_in_a_row_is_no_passing_one(tmp_path: Path, run_folder: Path) -> None:
    command = program(tmp_path, "sys.exit(1)")
    assert supervise(command, "stage", SOON, MemoryLimit()).exit_code == FAULT_OF_OURS
    assert attempts(tmp_path) == 2


def test_the_stage_is_ended_before_the_kernel_ends_the_container(
    tmp_path: Path, run_folder: Path
) -> None:
    usage, statistics = tmp_path / "usage", tmp_path / "statistics"
    usage.write_text("0")
    statistics.write_text("inactive_file 0\n")
    text = f"""
        if attempt == 1:
            Path({str(usage)!r}).write_text(str(99 << 20))
            signal.pause()
        Path({str(usage)!r}).write_text("0")
    """
    limit = MemoryLimit(100 << 20, usage, statistics)
    command = program(tmp_path, text)
    # What a killed process used is given back; here nobody does that.
    restart = Patience(attempts=2, pause=0.0)
    usage_after = supervise([*command], "stage", restart, _Released(limit, usage))
    assert usage_after.exit_code == DONE
    assert attempts(tmp_path) == 2


class _Released(MemoryLimit):
    """A limit whose usage falls to nothing once it was reached, as when a process is killed."""

    def __init__(self, limit: MemoryLimit, usage: Path) -> None:
        super().__init__(limit.limit, limit.usage, limit.statistics)

    def reached(self) -> bool:
        full = super().reached()
        if full and self.usage:
            self.usage.write_text("0")
        return full


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"memory.max": "max\n", "memory.current": "5", "memory.stat": ""}, False),
        ({"memory.max": "1073741824", "memory.current": "900000000", "memory.stat": ""}, False),
        ({"memory.max": "1073741824", "memory.current": "1070000000", "memory.stat": ""}, True),
        # The same with a quarter of it in files that nobody uses.
        (
            {
                "memory.max": "1073741824",
                "memory.current": "1070000000",
                "memory.stat": "anon 1\ninactive_file 268435456",
            },
            False,
        ),
        (
            {
                "memory/memory.limit_in_bytes": "1073741824",
                "memory/memory.usage_in_bytes": "1070000000",
                "memory/memory.stat": "inactive_file 900000000\ntotal_inactive_file 0",
            },
            True,
        ),
        ({}, False),
    ],
)
def test_the_memory_limit_is_read_from_either_kind_of_control_group(
    tmp_path: Path, files: dict[str, str], expected: bool
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert MemoryLimit.of_this_container(tmp_path).reached() is expected


def test_a_pod_without_a_key_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("SPAVL_WORK_ROOT", "SPAVL_RUNS", "SPAVL_CACHE", "SPAVL_LOG"):
        monkeypatch.setenv(key, "x")
    monkeypatch.delenv("SPAVL_CACHE")
    with pytest.raises(InputError, match=r"ConfigMap spa-vl-environment: SPAVL_CACHE"):
        check_pod()


def test_a_volume_that_may_not_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").write_text("a file where the folder should be")
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work/stages"))
    monkeypatch.setenv("SPAVL_RUNS", str(tmp_path / "work/runs"))
    monkeypatch.setenv("SPAVL_RUN_ID", "1")
    monkeypatch.delenv("SPAVL_RUN_FOLDER", raising=False)
    monkeypatch.setenv("SPAVL_CACHE", str(tmp_path / "models"))
    monkeypatch.setenv("SPAVL_LOG", "json")
    with pytest.raises(InputError, match=r"the volume may not be written: .*work/runs/1"):
        check_pod()


def test_a_component_runs_by_its_name_as_under_kfp(tmp_path: Path) -> None:
    output = tmp_path / "out" / "output_metadata.json"
    executor_input = {
        "inputs": {"parameterValues": {"profile": "pocket", "overrides": ["dpo.beta=0.25"]}},
        "outputs": {
            "artifacts": {
                "snapshot": {
                    "artifacts": [
                        {
                            "name": "snapshot",
                            "uri": f"{tmp_path}/snapshot",
                            "type": {"schemaTitle": "system.Artifact"},
                        }
                    ]
                }
            },
            "outputFile": str(output),
        },
    }
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SPAVL_WORK_ROOT": str(tmp_path / "work"),
        "SPAVL_RUNS": str(tmp_path / "runs"),
        "SPAVL_RUN_ID": "one",
        "SPAVL_CACHE": str(tmp_path / "cache"),
        "SPAVL_LOG": "json",
    }
    command = [sys.executable, "-m", "pipelines.stage_process"]
    command += ["components.configuration.component:resolve_configuration"]
    command += ["--executor_input", json.dumps(executor_input)]
    subprocess.run(command, env=environment, check=True, timeout=120)
    assert (tmp_path / "snapshot").exists()
    assert json.loads(output.read_text())["parameterValues"]["dpo"]["beta"] == 0.25

    executor_input["inputs"]["parameterValues"]["overrides"] = ["dpo.betta=1"]
    command[-1] = json.dumps(executor_input)
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == BAD_INPUT
    line = "unknown setting (dpo.betta): did you mean dpo.beta?"
    assert ended.stderr.splitlines()[-1] == f"spavl: resolve_configuration: {line}"
    error = json.loads((tmp_path / "runs/one/error.json").read_text())
    assert (error["message"], error["exit_code"]) == (line, BAD_INPUT)
