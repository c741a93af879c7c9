"""MLflow started by the chart's own command line: hosts, users, metrics."""

from collections.abc import Iterator

import pytest
from minio import Minio

from tests.deploy.rendering import NAMESPACE
from tests.service.chart_mlflow import SERVICE, Server, bucket, started

PASSWORD = "a-password-of-this-test"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Minio]]:
    with bucket(tmp_path_factory.mktemp("s3")) as made:
        yield made


@pytest.fixture(scope="module")
def mlflow(s3: tuple[str, Minio], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The chart's MLflow as a laptop has it."""
    with started(s3, tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(s3: tuple[str, Minio], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same with users and metrics."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "basic_auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\n"
        f"admin_password = {PASSWORD}\ndatabase_uri = sqlite:///{folder}/basic_auth.db\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    switches = ("mlflow.basicAuth.enabled=true", "monitoring.serviceMonitor.enabled=true")
    with started(s3, folder, *switches) as server:
        yield server


@pytest.mark.parametrize(
    "host",
    ["spa-vl-mlflow", f"spa-vl-mlflow.{NAMESPACE}", SERVICE, f"{SERVICE}.cluster.local"],
)
def test_the_service_names_are_answered_with_and_without_port(mlflow: Server, host: str) -> None:
    assert mlflow.answer(host) == 200
    assert mlflow.answer(f"{host}:{mlflow.port}") == 200


@pytest.mark.parametrize("host", ["evil.example", "spa-vl-mlflow.other.svc", "10.0.0.1"])
def test_a_wrong_host_header_gets_403(mlflow: Server, host: str) -> None:
    assert mlflow.answer(host) == 403


def test_the_probes_path_is_answered(mlflow: Server) -> None:
    assert mlflow.answer("spa-vl-mlflow", "/health") == 200


def test_users_are_asked_for_and_the_probes_are_not(guarded: Server) -> None:
    assert guarded.answer("spa-vl-mlflow", "/health") == 200
    assert guarded.answer("spa-vl-mlflow") == 401
    assert guarded.answer("spa-vl-mlflow", password="wrong") == 401
    assert guarded.answer("spa-vl-mlflow", password=PASSWORD) == 200
    assert guarded.answer("evil.example", password=PASSWORD) == 403


def test_prometheus_reads_metrics_by_a_pods_address_with_the_tasks_user(guarded: Server) -> None:
    address = f"10.244.1.7:{guarded.port}"
    assert guarded.answer(address, "/metrics") == 401
    assert guarded.answer(address, "/metrics", PASSWORD) == 200
