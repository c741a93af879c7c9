"""A run whose candidate was compared with a champion that reigns no more asks the gate again."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from pipelines import local_run
from pipelines.local_run import RunRequest

OVERTAKEN = {
    "stage": "publish", "exit_code": 75, "expected": True,
    "message": "another model became champion of vlm meanwhile: try again",
}  # fmt: skip


def run_with(failures: list[dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Runs a DAG that fails as told, time after time; says how often it was walked."""
    walks = []

    def walk(request: RunRequest, folder: Path) -> None:
        walks.append(request)
        if len(walks) <= len(failures):
            (folder / "error.json").write_text(json.dumps(failures[len(walks) - 1]))
            raise RuntimeError("a step failed")
        assert not (folder / "error.json").exists()

    monkeypatch.setattr(local_run, "_walk", walk)
    with suppress(RuntimeError):
        local_run._walk_until_compared(RunRequest("pocket", ()), tmp_path)
    return len(walks)


def test_it_is_walked_again_until_it_is_not_overtaken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_with([OVERTAKEN], tmp_path, monkeypatch) == 2


def test_three_times_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_with([OVERTAKEN] * 3, tmp_path, monkeypatch) == 3


def test_no_other_failure_is_walked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_with([{**OVERTAKEN, "stage": "dpo"}], tmp_path, monkeypatch) == 1
