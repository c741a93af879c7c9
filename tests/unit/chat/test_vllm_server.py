"""`vllm serve` is started, waited for and ended; a stand-in of the same command line serves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from spavl.chat import ChatRequest, Journal, Message, Sampling, open_chat
from spavl.chat.settings import VllmSettings
from spavl.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
STAND_IN = f"""#!{sys.executable}
import http.server, json, os, sys, time
serve, model, *rest = sys.argv[1:]
options = dict(part.removeprefix("--").split("=", 1) for part in rest)
assert serve == "serve" and options["host"] == "127.0.0.1", sys.argv
if model.endswith("broken"):
    sys.exit("ValueError: not a model folder")
started = time.monotonic()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ready = time.monotonic() - started > float(options.get("loads", 0))
        self.send_response(200 if self.path == "/health" and ready else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = {{"role": "assistant", "content": " ".join((asked["model"], *rest))}}
        body = json.dumps({{"choices": [{{"message": message, "finish_reason": "stop"}}]}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

print(os.getpid(), flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(options["port"])), Handler).serve_forever()
"""
REQUEST = ChatRequest("r", (Message("user", "q"),))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    executable = tmp_path / "bin" / "vllm"
    executable.parent.mkdir()
    executable.write_text(STAND_IN)
    executable.chmod(0o755)
    monkeypatch.setenv("PATH", f"{executable.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nobody; loopback must not go there
    return tmp_path


def ask(folder, **changes):
    settings = {"backend": "vllm", "model": "/models/tiny", "arguments": ("--dtype=float32",)}
    with (
        Journal(folder / "journal") as journal,
        open_chat(VllmSettings.model_validate({**settings, **changes}), journal) as chat,
    ):
        return [reply.text for reply in chat.reply([REQUEST], Sampling(4, 0.0))]


def servers(folder):
    """Process ids of the servers, as they told them."""
    logs = (folder / "work" / "vllm").glob("*.log")
    return [int(text) for log in logs if (text := log.read_text().partition("\n")[0]).isdigit()]


def gone(pid):
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_it_serves_under_the_folders_name_with_the_given_arguments_and_ends(folder):
    (said,) = ask(folder, arguments=("--dtype=float32", "--loads=0.7"))
    assert said.startswith("tiny --host=127.0.0.1 --port=")
    ours = "--served-model-name=tiny --generation-config=vllm"
    assert said.endswith(f" {ours} --dtype=float32 --loads=0.7")
    (pid,) = servers(folder)
    assert gone(pid)


def test_what_it_answered_is_not_asked_again_at_another_port(folder):
    first = ask(folder)
    assert ask(folder) == first
    assert ask(folder, arguments=("--dtype=bfloat16",)) != first


def test_a_server_that_ends_while_loading_tells_its_last_line(folder):
    with pytest.raises(InputError, match="code 1: ValueError: not a model folder"):
        ask(folder, model="/models/broken")


def test_a_server_that_does_not_become_healthy_is_given_up_and_ended(folder):
    with pytest.raises(InputError, match=r"not healthy after 1\.5 seconds"):
        ask(folder, arguments=("--loads=60",), start_seconds=1.5)
    assert all(gone(pid) for pid in servers(folder))


def test_no_vllm_is_told(folder, monkeypatch):
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(InputError, match="no vllm here"):
        ask(folder)


def test_a_killed_step_leaves_no_server_behind(folder):
    code = (
        "import time\n"
        "from spavl.chat.settings import VllmSettings\n"
        "from spavl.chat.vllm_server import serving\n"
        "with serving(VllmSettings(backend='vllm', model='tiny')):\n"
        "    print('serving', flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    step = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
    assert step.stdout.readline() == b"serving\n"
    step.send_signal(signal.SIGKILL)
    step.wait()
    (pid,) = servers(folder)
    assert gone(pid)
