"""What the chart asks of S3 and MLflow, against real servers: one line each, in bounded time."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.deploy.rendering import CHART
from tests.service.servers import S3Server, answering, free_port, silent

SCRIPT = CHART / "files" / "services.py"
NO_ROOM = b"<Error><Code>InternalError</Code><Message>We had an internal error.</Message></Error>"


@contextmanager
def without_room(head: int) -> Iterator[str]:
    """An S3 that answers what it has, and 500 to every PUT, as SeaweedFS without a free volume."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(head, b"")

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(500, NO_ROOM)

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()


@pytest.fixture(scope="module", name="s3")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    started = S3Server(tmp_path_factory.mktemp("s3"))
    started.start()
    yield started
    started.kill()


@pytest.fixture(name="environment")
def of_a_pod(s3: S3Server) -> dict[str, str]:
    s3.empty()
    place = {"BUCKET": s3.bucket, "PREFIX": "private/team-a/spa-vl", "PATH": os.environ["PATH"]}
    return {**s3.environment, **place}


def asked(
    environment: dict[str, str], *questions: str, seconds: tuple[float, float] = (5.0, 20.0)
) -> "subprocess.CompletedProcess[str]":
    """The script as the pod runs it, with its time-outs or shorter ones."""
    text, shorter = SCRIPT.read_text(), f"= {seconds[0]}, {seconds[1]}"
    assert "CONNECT_SECONDS, READ_SECONDS = 5.0, 20.0\n" in text
    return subprocess.run(
        [sys.executable, "-c", text.replace("= 5.0, 20.0", shorter), *questions],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def line(done: "subprocess.CompletedProcess[str]") -> str:
    """Its only line, that of a fault."""
    assert done.returncode == 1, done
    [only] = done.stderr.splitlines()
    return only


def test_an_object_is_kept_under_our_prefix_and_taken_away_again(
    environment: dict[str, str], s3: S3Server
) -> None:
    done = asked(environment, "s3")
    assert done.stdout == "S3 keeps objects under spa-vl/private/team-a/spa-vl\n", done.stderr
    assert s3.names() == set()


def test_the_bucket_is_made_once(environment: dict[str, str], s3: S3Server) -> None:
    s3.lose()
    assert asked(environment, "bucket").stdout == "bucket spa-vl made\n"
    assert asked(environment, "bucket").stdout == "bucket spa-vl is there\n"


@pytest.mark.parametrize("question", ["s3", "bucket"])
def test_nobody_there(environment: dict[str, str], question: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    told = line(asked(environment | {"AWS_ENDPOINT_URL": url}, question))
    assert told.startswith(f"S3 {url}: no answer (")
    assert "Connection refused" in told
    assert "mend s3.endpoint" in told


def test_a_name_that_does_not_exist(environment: dict[str, str]) -> None:
    told = line(asked(environment | {"AWS_ENDPOINT_URL": "http://minio.invalid:9000"}, "s3"))
    assert told.startswith("S3 http://minio.invalid:9000: no answer (")


def test_somebody_who_never_answers_is_not_waited_for(environment: dict[str, str]) -> None:
    with silent() as url:
        told = line(asked(environment | {"AWS_ENDPOINT_URL": url}, "s3", seconds=(0.5, 0.5)))
    assert re.search(r"no answer \(.*timed out", told)


@pytest.mark.parametrize(
    ("key", "value"),
    [("AWS_ACCESS_KEY_ID", "somebody-else"), ("AWS_SECRET_ACCESS_KEY", "another-secret")],
)
@pytest.mark.parametrize("question", ["s3", "bucket"])
def test_wrong_keys(environment: dict[str, str], key: str, value: str, question: str) -> None:
    told = line(asked(environment | {key: value}, question))
    assert "refuses the keys of Secret spa-vl-s3" in told
    assert value not in told


def test_no_such_bucket(environment: dict[str, str]) -> None:
    told = line(asked(environment | {"BUCKET": "missing"}, "s3"))
    assert "no bucket missing: correct s3.bucket" in told


@pytest.mark.parametrize(("question", "head"), [("s3", 200), ("bucket", 404)])
def test_a_bucket_that_cannot_be_written(
    environment: dict[str, str], question: str, head: int
) -> None:
    with without_room(head) as url:
        told = line(asked(environment | {"AWS_ENDPOINT_URL": url}, question))
    assert told.startswith(f"S3 {url}: bucket spa-vl cannot be written (InternalError: We had")
    assert told.endswith("SeaweedFS without a free volume answers so")


def test_something_that_is_no_s3(environment: dict[str, str]) -> None:
    with answering(200, b"<html>", {"Content-Type": "text/html"}) as url:
        told = line(asked(environment | {"AWS_ENDPOINT_URL": url}, "s3"))
    assert told.startswith(f"S3 {url}: answers like no S3")


def test_mlflow_answers(environment: dict[str, str]) -> None:
    with answering(200, b"OK") as url:
        done = asked(environment | {"MLFLOW_TRACKING_URI": url}, "mlflow", "s3")
    assert done.stdout.splitlines()[0] == "MLflow answers"
    assert done.returncode == 0


def test_mlflow_refuses_the_name(environment: dict[str, str]) -> None:
    with answering(403, b"no") as url:
        told = line(asked(environment | {"MLFLOW_TRACKING_URI": url}, "mlflow"))
    assert told == f"MLflow {url}: answers 403: 403: name the host in mlflow.allowedHosts"


def test_mlflow_is_away(environment: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    told = line(asked(environment | {"MLFLOW_TRACKING_URI": url}, "mlflow"))
    assert told.startswith(f"MLflow {url}: no answer (")
