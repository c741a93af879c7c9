"""MLflow started by the chart's own command line: hosts, tracking by service name, S3 artifacts."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from minio import Minio

from spavl.tracking.follower import Follower
from spavl.tracking.launch import write_status
from tests.deploy.policy import pod_of
from tests.deploy.rendering import CHART, NAMESPACE, rendered, title
from tests.service.looking import runs_of
from tests.service.made_run import FIGURE, data, report, train
from tests.service.servers import free_port

KEYS = {"AWS_ACCESS_KEY_ID": "test-access", "AWS_SECRET_ACCESS_KEY": "test-secret-of-nothing"}
PASSWORD = "a-password-of-this-test"
SECRETS = {**KEYS, "MLFLOW_FLASK_SERVER_SECRET_KEY": "a-key-of-this-test"}
EXPERIMENT = "/api/2.0/mlflow/experiments/get?experiment_id=0"
BIN = Path(sys.executable).parent
SERVICE = f"spa-vl-mlflow.{NAMESPACE}.svc"


@dataclass(frozen=True)
class Server:
    """A running MLflow, and the S3 behind it."""

    port: int
    s3: Minio

    def answer(self, host: str, path: str = EXPERIMENT, password: str = "") -> int:
        """Status that a request with this Host header gets."""
        headers = {"Host": host}
        if password:
            headers["Authorization"] = f"Basic {b64encode(f'admin:{password}'.encode()).decode()}"
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answered:
                return int(answered.status)
        except urllib.error.HTTPError as error:
            return error.code


def wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()[-3000:]
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(log.read_text()[-3000:])


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Minio]]:
    """A real S3 server; the chart's own job makes the bucket."""
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    environment = {"NANIO_ACCESS_KEY": "test-access", "NANIO_SECRET_KEY": "test-secret-of-nothing"}
    command = [BIN / "nanio", "serve", "--host", "127.0.0.1", "--port", str(port)]
    log = folder / "log.txt"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--data-dir", folder / "data"],
            env={**os.environ, **environment},
            stdout=stream,
            stderr=stream,
        )
    try:
        wait(port, process, log)
        endpoint = f"http://127.0.0.1:{port}"
        job = {"AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "us-east-1", "BUCKET": "spa-vl"}
        for told in ("bucket spa-vl made", "bucket spa-vl is there"):
            done = subprocess.run(
                [sys.executable, CHART / "files" / "bucket.py"],
                env={**os.environ, **KEYS, **job},
                capture_output=True,
                text=True,
            )
            assert told in done.stdout, done.stderr
        yield (
            endpoint,
            Minio(
                endpoint=f"127.0.0.1:{port}",
                access_key="test-access",
                secret_key="test-secret-of-nothing",
                region="us-east-1",
                secure=False,
            ),
        )
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def started(bucket: tuple[str, Minio], folder: Path, *settings: str) -> Iterator[Server]:
    """The container of the rendered Deployment as a process: its command, arguments, variables."""
    endpoint, s3 = bucket
    port = free_port()
    places = (f"mlflow.port={port}", f"s3.endpoint={json.dumps(endpoint)}")
    [deployment] = [
        r for r in rendered("kind", *places, *settings) if title(r) == "Deployment/spa-vl-mlflow"
    ]
    container = (pod_of(deployment) or {})["containers"][0]
    here = {"sqlite:////data": f"sqlite:///{folder}", "/auth": str(folder), "/tmp": str(folder)}

    def moved(value: str) -> str:
        return re.sub("|".join(here), lambda there: here[there[0]], value)

    environment = {
        each["name"]: moved(each["value"]) if "value" in each else SECRETS[each["name"]]
        for each in container["env"]
    }
    log = folder / "log.txt"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [
                BIN / container["command"][0],
                *container["command"][1:],
                *map(moved, container["args"]),
            ],
            env={"PATH": f"{BIN}:{os.environ['PATH']}", **environment},
            cwd=folder,
            stdout=stream,
            stderr=stream,
        )
    try:
        wait(port, process, log)
        yield Server(port, s3)
        assert not (folder / "mlartifacts").exists()
        assert not (folder / "mlruns").exists()
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def mlflow(bucket: tuple[str, Minio], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The chart's MLflow as a laptop has it."""
    with started(bucket, tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(
    bucket: tuple[str, Minio], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The same with users and metrics."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "basic_auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\nadmin_username = admin\n"
        f"admin_password = {PASSWORD}\ndatabase_uri = sqlite:///{folder}/basic_auth.db\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    switches = ("mlflow.basicAuth.enabled=true", "monitoring.serviceMonitor.enabled=true")
    with started(bucket, folder, *switches) as server:
        yield server


@pytest.fixture
def by_service_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster's DNS in small: the service's name leads here."""
    resolve = socket.getaddrinfo

    def answer(host: str, *arguments: object, **others: object) -> object:
        return resolve("127.0.0.1" if host == SERVICE else host, *arguments, **others)

    monkeypatch.setattr(socket, "getaddrinfo", answer)


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


@pytest.mark.usefixtures("by_service_name")
def test_a_run_is_tracked_by_the_service_name_and_its_files_lie_in_s3(
    mlflow: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run's folder as pods leave it on the work volume."""
    for name in ("SPAVL_RUN_FOLDER", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "stages"))
    monkeypatch.setenv("SPAVL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("SPAVL_RUN_ID", "7f3a")
    folder = tmp_path / "runs" / "7f3a"
    train(data()[1])
    report(folder)
    write_status(folder, "FINISHED", "")

    uri = f"http://{SERVICE}:{mlflow.port}"
    Follower(folder, uri, "7f3a", "7f3a").bring()

    from mlflow import MlflowClient

    client = MlflowClient(uri)
    parent = runs_of(client, "7f3a")["7f3a"]
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["dpo.harm_eval_usr"] == FIGURE["value"]
    assert parent.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert runs_of(client, "7f3a")["dpo"].data.params["beta"] == "0.1"
    names = {each.object_name for each in mlflow.s3.list_objects("spa-vl", "mlflow/", True)}
    [kept] = [
        name for name in names if name.endswith(f"{parent.info.run_id}/artifacts/report.html")
    ]
    assert mlflow.s3.get_object("spa-vl", kept).read() == b"<p>report</p>"
    assert not list(tmp_path.glob("**/mlflow-artifacts"))
