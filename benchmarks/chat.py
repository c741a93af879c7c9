"""The chat client against an ideal one: an endpoint that takes 200 ms, 64 calls at once.

The endpoint is a server in another process. Each call carries a picture of its own of 20 KB and is
journalled as in a run. Ideal is a client whose own work costs no time: it keeps all its places
busy, so the calls take `calls / at once * seconds of an answer`. Beside it runs a bare client that
only sends ready bodies: on a machine that others use too, it shows what the machine leaves over.
"""

import asyncio
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from benchmarks.measuring import machine
from spavl.chat import ChatRequest, Message, Sampling
from spavl.chat.openai_backend import OpenAIChat
from spavl.chat.openai_wire import completion_body
from spavl.chat.paid_calls import PaidCalls
from spavl.chat.settings import OpenAISettings

SAMPLING = Sampling(max_new_tokens=512, temperature=0.7, top_p=0.95, seed=1)


@dataclass(frozen=True)
class Shape:
    """One measurement.

    Attributes:
        calls: Calls in all.
        at_once: Calls under way together.
        answer_seconds: What the endpoint takes for each.
        picture_bytes: Size of a call's picture.
    """

    calls: int = 3200
    at_once: int = 64
    answer_seconds: float = 0.2
    picture_bytes: int = 20 * 1024

    @property
    def ideal_seconds(self) -> float:
        """What a client takes that costs no time itself."""
        return self.calls / self.at_once * self.answer_seconds


def run(shape: Shape, repetitions: int) -> dict[str, Any]:
    """Measures the client; the share of ideal is the median of all repetitions.

    Raises:
        AssertionError: A call got no answer, or more than one.
    """
    requests = _requests(shape)
    seconds, cpu, bare = [], [], []
    with _server(shape.answer_seconds) as address:
        _ask(address, requests[: shape.at_once], shape)  # loads what is loaded at the first use
        for _ in range(repetitions):
            began, cpu_began = time.perf_counter(), _cpu_seconds()
            _ask(address, requests, shape)
            seconds.append(time.perf_counter() - began)
            cpu.append(_cpu_seconds() - cpu_began)
            began = time.perf_counter()
            asyncio.run(_send_bare(address, requests, shape))
            bare.append(time.perf_counter() - began)
        seen = json.load(urllib.request.urlopen(f"{address}/seen"))
    assert seen["calls"] == shape.at_once + 2 * repetitions * shape.calls
    ours, ideal = median(seconds), shape.ideal_seconds
    return {
        "share_of_ideal": ideal / ours,
        "bare_share_of_ideal": ideal / median(bare),
        "ours_s": ours,
        "baseline_s": ideal,
        "baseline": "ideal: calls / at once * seconds of an answer",
        "time_ratio": ours / ideal,
        "calls_per_s": shape.calls / ours,
        "client_cpu_ms_per_call": 1000 * median(cpu) / shape.calls,
        "most_at_once": seen["most_at_once"],
        "seconds": seconds,
        "shape": asdict(shape),
        "machine": machine(),
    }


def _requests(shape: Shape) -> list[ChatRequest]:
    draw = random.Random(0)
    return [
        ChatRequest(
            f"call-{place}",
            (Message("user", "What should one know about what this picture shows?"),),
            b"\xff\xd8" + draw.randbytes(shape.picture_bytes - 2),
        )
        for place in range(shape.calls)
    ]


def _settings(address: str, shape: Shape) -> OpenAISettings:
    return OpenAISettings(
        backend="openai", base_url=f"{address}/v1", model="bench", concurrency=shape.at_once
    )


def _ask(address: str, requests: Sequence[ChatRequest], shape: Shape) -> None:
    with tempfile.TemporaryDirectory() as folder, PaidCalls(Path(folder)) as paid:
        chat = OpenAIChat(_settings(address, shape), paid)
        answered = [reply.record_id for reply in chat.reply(requests, SAMPLING)]
    assert sorted(answered) == sorted(request.record_id for request in requests)


async def _send_bare(address: str, requests: Sequence[ChatRequest], shape: Shape) -> None:
    """The same calls by aiohttp alone: ready bodies, no attempts, no journal, nothing read."""
    settings = _settings(address, shape)
    bodies = iter([completion_body(request, SAMPLING, settings) for request in requests])
    connector = aiohttp.TCPConnector(limit=shape.at_once)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def send() -> None:
            for body in bodies:
                async with session.post(f"{address}/v1/chat/completions", data=body) as response:
                    await response.read()

        await asyncio.gather(*(send() for _ in range(shape.at_once)))


@contextmanager
def _server(seconds: float) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.chat_server", "--seconds", str(seconds)]
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
