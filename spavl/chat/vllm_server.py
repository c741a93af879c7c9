"""`vllm serve` for as long as a step needs it: started, waited for, ended.

The server listens on loopback and is asked as any other endpoint. It ends with the step, however
the step ends.
"""

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spavl.chat.settings import OpenAISettings, VllmSettings
from spavl.child_processes import ends_with_this_process
from spavl.environment import work_root
from spavl.errors import InputError

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_END = 30.0


@contextmanager
def serving(settings: VllmSettings) -> Iterator[OpenAISettings]:
    """Serves a model while the context lasts.

    Yields:
        How it is reached.

    Raises:
        InputError: There is no vllm here, it ends before it is healthy, or is not healthy in time.
    """
    name, port = Path(settings.model).name, _free_port()
    log = work_root() / "vllm" / f"{name}-{port}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    server = _start(settings, name, port, log)
    try:
        _wait_until_healthy(server, settings, port, log)
        yield OpenAISettings(
            backend="openai",
            base_url=f"http://127.0.0.1:{port}/v1",
            model=name,
            concurrency=settings.concurrency,
            timeout_seconds=settings.timeout_seconds,
        )
    finally:
        _end(server)


def _start(settings: VllmSettings, name: str, port: int, log: Path) -> "subprocess.Popen[bytes]":
    command = [
        "vllm", "serve", settings.model, "--host=127.0.0.1", f"--port={port}",
        f"--served-model-name={name}", "--generation-config=vllm", *settings.arguments,
    ]  # fmt: skip
    try:
        with log.open("wb") as out:
            return subprocess.Popen(
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=ends_with_this_process(),
            )
    except FileNotFoundError:
        raise InputError(
            "no vllm here", "chat.backend", "install vllm in this image, or name an openai endpoint"
        ) from None


def _wait_until_healthy(
    server: "subprocess.Popen[bytes]", settings: VllmSettings, port: int, log: Path
) -> None:
    # Loopback is never reached by a proxy, whatever the environment says.
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    deadline = time.monotonic() + settings.start_seconds
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise InputError(
                f"vllm serve ended with code {server.returncode}: {_last_line(log)}",
                settings.model,
                f"correct model or arguments; its log is {log}",
            )
        with suppress(urllib.error.URLError, OSError):
            ask(f"http://127.0.0.1:{port}/health", timeout=5)
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)
    raise InputError(
        f"vllm serve is not healthy after {settings.start_seconds:g} seconds",
        settings.model,
        f"raise start_seconds, or see its log {log}",
    )


def _end(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
