"""The doctor: every check bounded and alone, honest about what is not there, silent on secrets."""

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipelines.doctor import Check, Finding, all_checks, examine
from pipelines.doctor.checks import BrokenError, NotThereError, without_secrets
from pipelines.doctor.machine import machine_checks
from pipelines.doctor.services import service_checks
from pipelines.doctor.tools import tool_checks

ROOT = Path(__file__).resolve().parents[3]
SERVICES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "http_proxy",
    "HTTP_PROXY",
)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SERVICES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A PATH that holds only the scripts a test writes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return write


@pytest.fixture
def server() -> Iterator[tuple[str, dict[str, tuple[int, str]], list[dict[str, str]]]]:
    """A loopback server: its address, its answers by path, the headers it was asked with."""
    answers: dict[str, tuple[int, str]] = {}
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(dict(self.headers))
            status, body = answers.get(self.path.partition("?")[0], (404, "not here"))
            if status == 0:
                time.sleep(6)
                return
            self.send_response(status)
            self.send_header("Content-Type", "application/xml" if "<?xml" in body else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{running.server_address[1]}", answers, asked
    running.shutdown()
    running.server_close()


def finding(checks: list[Check], name: str) -> Finding:
    (check,) = (check for check in checks if check.name == name)
    return examine([check])[0]


def test_a_check_that_hangs_or_crashes_hides_no_other() -> None:
    def crash() -> str:
        raise RuntimeError("boom")

    start = time.monotonic()
    hanging, crashing, good = examine(
        [
            Check("hanging", lambda: time.sleep(30) or "late", "wait", seconds=0.5),
            Check("crashing", crash, "mend it"),
            Check("good", lambda: "fine", "nothing"),
        ]
    )
    assert time.monotonic() - start < 10
    assert (hanging.status, hanging.detail) == ("broken", "no answer within 0.5 s")
    assert (crashing.status, crashing.detail) == ("broken", "RuntimeError: boom")
    assert (good.status, good.detail, good.remedy) == ("ok", "fine", "")


def test_what_is_not_there_is_broken_only_where_a_run_needs_it() -> None:
    def absent() -> str:
        raise NotThereError("none")

    optional, required = examine([Check("a", absent, "r"), Check("b", absent, "r", required=True)])
    assert (optional.status, required.status) == ("missing", "broken")
    assert optional.remedy == "r"


def test_secrets_are_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hunter2222")

    def tell() -> str:
        raise BrokenError("hunter2222 refused by http://me:word@host/x")

    (found,) = examine([Check("leak", tell, "")])
    assert found.detail == "*** refused by http://***@host/x"
    assert without_secrets("plain text") == "plain text"


def test_tools_that_answer_are_told_with_their_versions(
    tools: Callable[[str, str], None],
) -> None:
    tools("docker", 'echo "27.1"')
    tools("kubectl", 'case "$1" in config) echo kind;; *) echo ok;; esac')
    tools("helm", 'echo "v4.3.1+g1"')
    tools("google-chrome", 'echo "Google Chrome 150"')
    tools("nvidia-smi", 'echo "NVIDIA H100, 81559 MiB"; echo "NVIDIA H100, 81559 MiB"')
    found = {one.name: one for one in examine(tool_checks())}
    assert {one.status for one in found.values()} == {"ok"}
    assert found["docker"].detail == "engine 27.1"
    assert found["kubectl"].detail == "context kind answers"
    assert found["helm"].detail == "v4.3.1+g1"
    assert found["browser"].detail == "Google Chrome 150"
    assert finding(machine_checks(), "gpu").detail.count("H100") == 2


def test_tools_that_are_not_there_are_missing(tools: Callable[[str, str], None]) -> None:
    assert {one.status for one in examine(tool_checks())} == {"missing"}
    gpu = finding(machine_checks(), "gpu")
    assert (gpu.status, gpu.detail) == ("missing", "no nvidia-smi in the PATH")
    assert gpu.remedy


def test_tools_that_fail_say_why(tools: Callable[[str, str], None]) -> None:
    tools("docker", 'echo "Cannot connect to the daemon" >&2; exit 1')
    tools("kubectl", 'case "$1" in config) echo kind;; *) echo "refused" >&2; exit 1;; esac')
    tools("helm", "exec /bin/sleep 30")
    start = time.monotonic()
    found = {one.name: one for one in examine(tool_checks())}
    assert time.monotonic() - start < 10
    assert found["docker"].detail == "docker: Cannot connect to the daemon"
    assert found["kubectl"].detail == "kubectl: refused"
    assert "no answer within" in found["helm"].detail
    assert {found[name].status for name in ("docker", "kubectl", "helm")} == {"broken"}


def test_a_cluster_without_context_is_missing(tools: Callable[[str, str], None]) -> None:
    tools("kubectl", 'echo "error: current-context is not set" >&2; exit 1')
    assert finding(tool_checks(), "kubectl").status == "missing"


def test_without_a_named_mlflow_the_local_store_is_told() -> None:
    found = finding(service_checks(), "mlflow")
    assert (found.status, found.required) == ("ok", False)
    assert "runs/mlflow.db" in found.detail


EXPERIMENTS = "/api/2.0/mlflow/experiments/search"


def test_an_mlflow_that_answers_is_ok_and_gets_the_login(
    server: tuple[str, dict[str, tuple[int, str]], list[dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, answers, asked = server
    answers[EXPERIMENTS] = (200, '{"experiments": []}')
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:pass1word@{address}")
    found = finding(service_checks(), "mlflow")
    assert (found.status, found.required) == ("ok", True)
    assert "pass1word" not in found.detail
    assert asked[-1]["Authorization"] == f"Basic {base64.b64encode(b'me:pass1word').decode()}"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, "who?", "MLflow wants a user and password"),
        (500, "oh", "no MLflow answers: status 500"),
        (200, "<html>something else</html>", "something that is no MLflow answers"),
        (0, "", "no MLflow answers"),
    ],
)
def test_an_mlflow_that_does_not_serve_is_broken_with_its_reason(
    server: tuple[str, dict[str, tuple[int, str]], list[dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: str,
    said: str,
) -> None:
    address, answers, _ = server
    answers[EXPERIMENTS] = (status, body)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{address}")
    found = finding(service_checks(), "mlflow")
    assert found.status == "broken"
    assert said in found.detail
    assert "MLFLOW_TRACKING" in found.remedy


def test_a_dead_port_and_an_unwritable_store_are_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert "refused" in finding(service_checks(), "mlflow").detail
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    assert finding(service_checks(), "mlflow").status == "ok"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none/mlflow.db")
    assert "no folder for MLflow's store" in finding(service_checks(), "mlflow").detail
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert finding(service_checks(), "s3").status == "broken"


BUCKETS = (
    '<?xml version="1.0"?><ListAllMyBucketsResult><Buckets><Bucket><Name>work</Name>'
    "<CreationDate>2026-01-01T00:00:00.000Z</CreationDate></Bucket></Buckets>"
    "</ListAllMyBucketsResult>"
)


def s3_error(code: str) -> str:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>m</Message></Error>'


@pytest.mark.parametrize(
    ("status", "body", "result", "said"),
    [
        (200, BUCKETS, "ok", "1 buckets"),
        (403, s3_error("AccessDenied"), "ok", "may not list"),
        (403, s3_error("InvalidAccessKeyId"), "broken", "InvalidAccessKeyId"),
        (403, s3_error("SignatureDoesNotMatch"), "broken", "SignatureDoesNotMatch"),
    ],
)
def test_an_s3_server_and_its_opinion_of_the_credentials(
    server: tuple[str, dict[str, tuple[int, str]], list[dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: str,
    result: str,
    said: str,
) -> None:
    address, answers, _ = server
    answers["/"] = (status, body)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
    assert "not set" in finding(service_checks(), "s3").detail
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    found = finding(service_checks(), "s3")
    assert (found.status, said in found.detail) == (result, True), found.detail
    assert "a-secret" not in json.dumps(found.__dict__)


@pytest.mark.parametrize("place", ["a file", "proc"])
def test_a_folder_that_cannot_be_written_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" if place == "a file" else Path("/proc/spavl-work")
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(folder))
    found = finding(machine_checks(), "work root")
    assert found.status == "broken"
    assert "cannot write to" in found.detail


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv("SPAVL_CACHE", str(tmp_path / "cache"))
    assert "permission denied" in finding(machine_checks(), "cache").detail


def test_looking_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPAVL_CACHE", str(tmp_path / "cache"))
    examine([check for check in all_checks() if check.name != "torch"])
    assert list(tmp_path.iterdir()) == []


def test_a_kept_pocket_base_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPAVL_CACHE", str(tmp_path))
    assert finding(machine_checks(), "pocket base").status == "missing"
    (tmp_path / "base_models" / "pocket-0123").mkdir(parents=True)
    assert finding(machine_checks(), "pocket base").status == "ok"


def doctor(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.argv[0] = 'spavl'; from pipelines.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "doctor", "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_command_says_what_a_run_needs_and_ends_with_its_exit_code(tmp_path: Path) -> None:
    good = doctor(tmp_path)
    assert good.returncode == 0, good.stdout + good.stderr
    content = json.loads(good.stdout)
    assert content["ready"] is True
    required = {one["name"] for one in content["checks"] if one["required"]}
    assert required == {"python", "libraries", "torch", "memory", "runs", "work root", "cache"}
    bad = doctor(
        tmp_path,
        MLFLOW_TRACKING_URI="http://me:pass1word@127.0.0.1:9",
        MLFLOW_TRACKING_PASSWORD="s3cret-word",
    )
    assert bad.returncode == 2
    assert json.loads(bad.stdout)["ready"] is False
    assert "pass1word" not in bad.stdout + bad.stderr
    assert "s3cret-word" not in bad.stdout + bad.stderr
