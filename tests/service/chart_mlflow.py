"""MLflow started by the chart's own command line and variables, with artifacts in a real S3."""

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

from minio import Minio

from tests.deploy.policy import pod_of
from tests.deploy.rendering import CHART, NAMESPACE, rendered, title
from tests.service.servers import free_port

KEYS = {"AWS_ACCESS_KEY_ID": "test-access", "AWS_SECRET_ACCESS_KEY": "test-secret-of-nothing"}
SECRETS = {**KEYS, "MLFLOW_FLASK_SERVER_SECRET_KEY": "a-key-of-this-test"}
EXPERIMENT = "/api/2.0/mlflow/experiments/get?experiment_id=0"
BIN = Path(sys.executable).parent
PREFIX = f"private/{NAMESPACE}/spa-vl"
SERVICE = f"spa-vl-mlflow.{NAMESPACE}.svc"
# Every Python of a process and its children looks names up with this.
RESOLVER = f"""
import socket
look_up = socket.getaddrinfo
def getaddrinfo(host, *arguments, **others):
    return look_up("127.0.0.1" if host == {SERVICE!r} else host, *arguments, **others)
socket.getaddrinfo = getaddrinfo
"""


@dataclass(frozen=True)
class Server:
    """A running MLflow.

    Attributes:
        port: Where it listens, on loopback.
        s3: The S3 behind it.
        store: Address of its database.
    """

    port: int
    s3: Minio
    store: str

    @property
    def uri(self) -> str:
        """Its address in the cluster."""
        return f"http://{SERVICE}:{self.port}"

    def files_of(self, run: str) -> dict[str, str]:
        """A run's artifacts in S3: path below the run to the object's name."""
        found = self.s3.list_objects("spa-vl", f"{PREFIX}/mlflow/", recursive=True)
        names = [str(each.object_name) for each in found]
        return {n.split("/artifacts/", 1)[1]: n for n in names if f"/{run}/artifacts/" in n}

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


@contextlib.contextmanager
def bucket(folder: Path) -> Iterator[tuple[str, Minio]]:
    """A real S3 server; the chart's own job makes the bucket. Gives its address and a client."""
    port = free_port()
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
                [sys.executable, CHART / "files" / "services.py", "bucket"],
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
def started(s3: tuple[str, Minio], folder: Path, *settings: str) -> Iterator[Server]:
    """The container of the rendered Deployment as a process: its command, arguments, variables."""
    endpoint, client = s3
    port = free_port()
    places = (f"mlflow.port={port}", f"s3.endpoint={json.dumps(endpoint)}", 's3.bucket="spa-vl"')
    open_network = "networkPolicies.enabled=false"  # for such an S3 they would need its addresses
    [deployment] = [
        each
        for each in rendered("profile", *places, open_network, *settings)
        if title(each) == "Deployment/spa-vl-mlflow"
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
        yield Server(port, client, f"sqlite:///{folder}/mlflow.db")
        assert not (folder / "mlartifacts").exists()
        assert not (folder / "mlruns").exists()
    finally:
        process.terminate()
        process.wait(30)


def environment(server: Server, folder: Path) -> dict[str, str]:
    """What a process needs to log to the server by its service name; a cluster's DNS in small.

    Args:
        server: The server.
        folder: An empty folder; Python looks into it when it starts.
    """
    (folder / "sitecustomize.py").write_text(RESOLVER)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "MLFLOW_TRACKING_URI": server.uri}
