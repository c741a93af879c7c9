"""Real servers on loopback, and small ones that answer like something else."""

import contextlib
import http.server
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

from minio import Minio

SECONDS_TO_START = 150.0
KEYS = {"AWS_ACCESS_KEY_ID": "test-access", "AWS_SECRET_ACCESS_KEY": "test-secret-of-nothing"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class MlflowServer:
    """A real MLflow server over SQLite that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it if it does not run, and wait until it answers."""
        if self._process is not None:
            return
        command = [
            sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={self.port}",
            "--workers=1", f"--backend-store-uri=sqlite:///{self.folder}/mlflow.db",
            f"--artifacts-destination={self.folder}/artifacts",
        ]  # fmt: skip
        settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "1"}
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=os.environ | settings, stdout=log, stderr=log, start_new_session=True
            )
        self._wait()

    def kill(self) -> None:
        """kill -9 of the server and its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _wait(self) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, urllib.error.URLError):
                urllib.request.urlopen(f"{self.uri}/health", timeout=2)
                return
            time.sleep(0.1)
        raise TimeoutError((self.folder / "server.log").read_text()[-2000:])


class S3Server:
    """A real S3 server over a folder that can be killed and started again."""

    bucket = "spa-vl"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **KEYS,
            "AWS_ENDPOINT_URL": self.uri,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        self.client = Minio(
            endpoint=f"127.0.0.1:{self.port}",
            access_key=KEYS["AWS_ACCESS_KEY_ID"],
            secret_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            region="us-east-1",
            secure=False,
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it if it does not run, and wait until it answers."""
        if self._process is not None:
            return
        command = [
            Path(sys.executable).with_name("nanio"), "serve", "--host=127.0.0.1",
            f"--port={self.port}", f"--data-dir={self.folder / 'data'}",
        ]  # fmt: skip
        # It takes what its own death left for another writer's.
        for leftover in (self.folder / "data").rglob(".nanio-meta/**/*.tmp"):
            leftover.unlink()
        keys = {
            "NANIO_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"],
            "NANIO_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"],
        }
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=os.environ | keys, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise TimeoutError((self.folder / "server.log").read_text()[-2000:])

    def empty(self) -> None:
        """Make the bucket anew."""
        self.lose()
        self.client.make_bucket(self.bucket)

    def lose(self) -> None:
        """Let the bucket vanish with all that is in it."""
        gone = self.folder / "gone" / uuid.uuid4().hex
        gone.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "data" / self.bucket).rename(gone)  # at once, whoever is writing
        shutil.rmtree(gone, ignore_errors=True)

    def names(self) -> set[str]:
        """Names of all objects."""
        return {each.object_name for each in self.client.list_objects(self.bucket, recursive=True)}

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def breaking(port: int, after: int, times: int) -> Iterator[str]:
    """A way to a server that breaks connections when they have answered so many bytes.

    Args:
        port: The server's.
        after: Bytes of the answer until the break.
        times: Connections that break; later ones hold.
    """
    left = [times]

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as server:
                threading.Thread(target=pump, args=(self.request, server), daemon=True).start()
                answered = 0
                while content := server.recv(65536):
                    self.request.sendall(content)
                    answered += len(content)
                    if left[0] and answered > after:
                        left[0] -= 1
                        return

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                target.sendall(content)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as way:
        way.daemon_threads = True
        threading.Thread(target=way.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{way.server_address[1]}"
            assert not left[0], "nothing broke"
        finally:
            way.shutdown()


class HoldingWay:
    """A way to a server that holds writes below a name back while it is told to.

    Attributes:
        uri: Its address.
        held: Set once a write waits.
    """

    def __init__(self, uri: str, name: bytes) -> None:
        self.uri = uri
        self.held = threading.Event()
        self._name = name
        self._open = threading.Event()
        self._open.set()

    def hold(self) -> None:
        """From now on such writes wait."""
        self._open.clear()

    def let_through(self) -> None:
        """They reach the server, late as they are."""
        self._open.set()

    def pass_on(self, content: bytes) -> None:
        """Waits where this is the beginning of such a write."""
        if content.startswith(b"PUT ") and self._name in content.partition(b"\r\n")[0]:
            if not self._open.is_set():
                self.held.set()
            self._open.wait(120)


@contextlib.contextmanager
def holding(port: int, name: bytes) -> Iterator[HoldingWay]:
    """A way to the server of a port; see `HoldingWay`."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as server:
                threading.Thread(target=pump, args=(server, self.request), daemon=True).start()
                with contextlib.suppress(OSError):
                    while content := self.request.recv(65536):
                        way.pass_on(content)
                        server.sendall(content)

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                target.sendall(content)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as relay:
        relay.daemon_threads = True
        way = HoldingWay(f"http://127.0.0.1:{relay.server_address[1]}", name)
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        try:
            yield way
        finally:
            way.let_through()
            relay.shutdown()


@contextlib.contextmanager
def answering(status: int, content: bytes, headers: dict[str, str] | None = None) -> Iterator[str]:
    """A server that answers everything alike; gives its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """A server that takes a connection and says nothing; gives its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
