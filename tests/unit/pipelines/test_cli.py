"""The command line's exit codes and its start."""

import subprocess
import sys
from pathlib import Path

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
