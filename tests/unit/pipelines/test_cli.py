"""The command line's exit codes and its start."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli, compilation

SPAVL = str(Path(sys.executable).parent / "spavl")


@pytest.mark.parametrize("arguments", [["runn"], ["run", "--profil=x"], ["compile", "extra"]])
def test_a_wrong_call_is_said_without_a_traceback(arguments: list[str]) -> None:
    ended = subprocess.run([SPAVL, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert line.startswith("spavl: ")


def test_compiled_files_that_are_not_current_fail_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compilation, "COMPILED", tmp_path)
    monkeypatch.setattr(sys, "argv", ["spavl", "compile", "--check"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "spa_vl.yaml" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["config show", "config schema", "run --help", "--version"])
def test_an_output_that_is_gone_or_full_is_one_line(command: str) -> None:
    for where, said in ((">&-", "nowhere to write to (stdout)"), (">/dev/full", "no space left")):
        ended = shell(f"{SPAVL} {command} {where}")
        assert ended.returncode == 2
        [line] = ended.stderr.splitlines()
        assert said in line


def test_a_working_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    ended = shell(f"mkdir x && cd x && rmdir ../x && {SPAVL} run", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (
        2,
        "spavl: the working folder is gone (.): change to one that is there\n",
    )


def test_streams_that_are_all_closed_end_without_a_trace() -> None:
    assert shell(f"{SPAVL} config show >&- 2>&- <&-").returncode == 2


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "cp437", "shift_jis", "koi8-r"])
def test_any_terminal_can_show_what_a_command_says(encoding: str) -> None:
    ended = shell(f"PYTHONIOENCODING={encoding} {SPAVL} run --help")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        "run --out gs://bucket/runs",
        "run --out az:/bucket",
        "run --images gs://bucket/pictures",
        "run --data gs:bucket",
        "run --set base_model.source=path --set base_model.path=abfss://a@b/c",
        "import wasbs://a/b out",
        "import hf://datasets/a/b out",
        "export gs://a/b out",
    ],
)
def test_an_address_of_another_scheme_is_no_folder(arguments: str, tmp_path: Path) -> None:
    ended = shell(f"{SPAVL} {arguments}", cwd=tmp_path)
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert "neither a folder nor on S3" in line
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(("gs:", "az:"))]


@pytest.mark.parametrize("folder", ["/proc/none", "/sys/none", "/dev/null/x", "/etc/hostname"])
def test_a_cache_that_cannot_be_written_ends_a_run_before_it_starts(
    folder: str, tmp_path: Path
) -> None:
    ended = shell(f"SPAVL_CACHE={folder} {SPAVL} run", cwd=tmp_path)
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert "cannot write here" in line
    assert "SPAVL_CACHE" in line


def shell(command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command line in a shell, whose ways to close streams it may use."""
    return subprocess.run(
        command, shell=True, capture_output=True, text=True, errors="replace", check=False,
        **options,
    )  # fmt: skip
