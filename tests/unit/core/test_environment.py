"""Where a run's folder is, on a laptop and in a cluster."""

from pathlib import Path

import pytest

from spavl.environment import run_folder

VARIABLES = ("SPAVL_RUN_FOLDER", "SPAVL_RUNS", "SPAVL_RUN_ID")


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ({}, None),
        ({"SPAVL_RUN_ID": "7f3"}, None),
        ({"SPAVL_RUNS": "/work/runs", "SPAVL_RUN_ID": "7f3"}, Path("/work/runs/7f3")),
        ({"SPAVL_RUN_FOLDER": "here", "SPAVL_RUNS": "/r", "SPAVL_RUN_ID": "7f3"}, Path("here")),
    ],
)
def test_the_run_folder_is_named_or_lies_below_all_runs(
    given: dict[str, str], folder: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert run_folder() == folder
