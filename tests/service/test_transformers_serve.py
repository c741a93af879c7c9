"""A real `transformers serve` with a small LLaVA answers through the client of all endpoints."""

import io
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from spavl.chat import ChatRequest, Journal, Message, Sampling, open_chat
from spavl.chat.settings import OpenAISettings
from spavl.chat.transformers_backend import TransformersChat
from tests.service.servers import free_port
from tests.unit.models.tiny import PictureBook, save_tiny

pytest.importorskip("openai", reason="transformers serve needs transformers[serving]")
GREEDY = Sampling(max_new_tokens=6, temperature=0.0)
SECONDS_TO_START = 120.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny-llava")


@pytest.fixture(scope="module")
def address(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port, log = free_port(), tmp_path_factory.mktemp("serve") / "log"
    command = [
        sys.executable, "-m", "transformers.cli.transformers", "serve", "--host=127.0.0.1",
        f"--port={port}", "--device=cpu", str(model),
    ]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_its_greedy_answers_are_the_models_own(
    address: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a picture as data URI and without: the same text and tokens as in this process."""
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path))
    settings = OpenAISettings(backend="openai", base_url=address, model=str(model), max_attempts=1)
    requests = [
        ChatRequest("lamp", (Message("user", "What is this?"),), _png("lamp")),
        ChatRequest("kite", (Message("user", "How do I use it?"),), _png("kite")),
        ChatRequest("text", (Message("user", "What is this?"),)),
    ]
    with Journal(tmp_path / "journal") as journal, open_chat(settings, journal) as chat:
        served = {reply.record_id: reply for reply in chat.reply(requests, GREEDY)}
    own = TransformersChat(str(model), threads=1).reply(requests, GREEDY)
    assert served == {reply.record_id: reply for reply in own}
    assert served["lamp"].prompt_tokens > served["text"].prompt_tokens


def _png(name: str) -> bytes:
    buffer = io.BytesIO()
    PictureBook().open(name).save(buffer, "PNG")
    return buffer.getvalue()


def _wait(health: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(health, timeout=2)
            return
        time.sleep(0.2)
    raise TimeoutError(log.read_text()[-2000:])
