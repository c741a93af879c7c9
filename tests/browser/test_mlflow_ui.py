"""MLflow's UI in a headless Chromium shows a run: its page, curves, tables and the champion."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spavl.tracking.launch import read_outcome, tracked
from tests.service import made_run
from tests.service.looking import runs_in
from tests.service.servers import MlflowServer

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome found")
OPENINGS = 5
VIRTUAL_MILLISECONDS = 60_000  # the page's own clock; it stands still while the server is asked


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def runs(
    server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """A whole run on the server."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("runs") / "seen"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", server.uri)
        patch.setenv("SPAVL_WORK_ROOT", str(folder.parent / "work"))
        patch.setenv("SPAVL_RUN_FOLDER", str(folder))
        with tracked(folder):
            made_run.whole_run(folder)
        assert read_outcome(folder).gap == ""
        yield runs_in(MlflowClient(server.uri), folder)


def lacks(url: str, profile: Path, *texts: str) -> list[str]:
    """Which of the texts a page does not show when its scripts have run.

    Virtual time can pass before a server under load has answered, so a page is opened again.
    """
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        f"--user-data-dir={profile}", "--window-size=1800,1200", "--dump-dom",
        f"--virtual-time-budget={VIRTUAL_MILLISECONDS}", url,
    ]  # fmt: skip
    missing = list(texts)
    for _ in range(OPENINGS):
        shown = subprocess.run(command, capture_output=True, text=True, timeout=300).stdout
        missing = [text for text in texts if text not in shown]
        if not missing:
            break
    return missing


def test_the_run_shows_its_figures_and_stages(
    server: MlflowServer, runs: dict[str, Any], tmp_path: Path
) -> None:
    run = runs["seen"].info
    place = f"{server.uri}/#/experiments/{run.experiment_id}/runs/{run.run_id}"
    texts = ("Finished", "dpo.harm_eval_usr", "dpo.beta", "answers-base", "scoring")
    assert lacks(place, tmp_path, *texts) == []


def test_the_training_shows_its_curves(
    server: MlflowServer, runs: dict[str, Any], tmp_path: Path
) -> None:
    run = runs["dpo"].info
    place = f"{server.uri}/#/experiments/{run.experiment_id}/runs/{run.run_id}/model-metrics"
    # The scatter layer is the plots' own: lines were drawn.
    assert lacks(place, tmp_path, "accuracies", "scatterlayer") == []


def test_the_judged_answers_show_as_a_table(
    server: MlflowServer, runs: dict[str, Any], tmp_path: Path
) -> None:
    run = runs["scoring"].info
    table = f"{server.uri}/#/experiments/{run.experiment_id}/runs/{run.run_id}/artifacts/tables"
    texts = ("outcome", "answer 0 of base", "unsafe", "refused")
    assert lacks(f"{table}/harm_eval.json", tmp_path, *texts) == []


def test_the_registry_shows_the_champion(
    server: MlflowServer, runs: dict[str, Any], tmp_path: Path
) -> None:
    assert lacks(f"{server.uri}/#/models/spa-vl", tmp_path, "Version 1", "champion") == []
