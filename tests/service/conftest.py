"""A real MLflow server, and a place for runs that are made beside it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.servers import MlflowServer

VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "SPAVL_PARENT")


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(shared_server: MlflowServer, place: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a server that runs throughout; named as a user would."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared_server.uri)
    return shared_server.uri


@pytest.fixture(scope="module")
def killable_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("killable"))
    yield server
    server.kill()


@pytest.fixture
def mortal_server(
    killable_server: MlflowServer, place: Path, monkeypatch: pytest.MonkeyPatch
) -> MlflowServer:
    """A server that tests may kill; alive when a test begins."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", killable_server.uri)
    killable_server.start()
    return killable_server


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder, as the command line gives it to its steps."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "runs" / "one"
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(folder))
    return folder


@pytest.fixture
def client(server: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(server)
