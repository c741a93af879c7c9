"""Real servers, MLflow and S3, and a place for runs that are made beside them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service.servers import MlflowServer, S3Server

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


@pytest.fixture(scope="session")
def shared_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.kill()


@pytest.fixture
def s3(shared_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """A server that answers, with an empty bucket in which the work root lies.

    Tests may kill it. The machine has no copy of anything, and is impatient.
    """
    shared_s3.start()
    shared_s3.empty()
    for name, value in shared_s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SPAVL_WORK_ROOT", f"s3://{shared_s3.bucket}/work")
    monkeypatch.setenv("SPAVL_SCRATCH", str(tmp_path / "machine"))
    monkeypatch.setenv("SPAVL_LEASE_SECONDS", "6")
    monkeypatch.setenv("SPAVL_KEEP_SECONDS", "0.001")
    monkeypatch.delenv("SPAVL_RUN_FOLDER", raising=False)
    monkeypatch.setattr("spavl.storage.bucket.TRIES", 2)
    return shared_s3


@pytest.fixture
def another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it to go on where nothing has been copied yet."""

    def move() -> None:
        count = len(list(tmp_path.glob("machine*")))
        monkeypatch.setenv("SPAVL_SCRATCH", str(tmp_path / f"machine-{count}"))

    return move
