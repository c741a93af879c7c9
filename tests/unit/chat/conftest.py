"""An OpenAI-compatible endpoint on loopback that misbehaves on demand."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Endpoint:
    """A real HTTP server: does what `misbehave` holds, one per request, then answers properly.

    Attributes:
        handle_instead: Takes all requests over, where it is set.
        bodies: JSON of every request, in order of arrival.
        headers: Headers of every request.
        times: Seconds of arrival.
        most_at_once: Most requests that were under way together.
    """

    def __init__(self) -> None:
        self.misbehave: list[Behaviour] = []
        self.handle_instead: Behaviour | None = None
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.most_at_once = 0
        self.delay = 0.0
        self.url = ""
        self._at_once = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.times.append(time.monotonic())
        self.headers.append(dict(request.headers))
        body = await request.json()
        self.bodies.append(body)
        if self.handle_instead:
            return await self.handle_instead(request)
        if self.misbehave:
            return await self.misbehave.pop(0)(request)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(self.delay)
        self._at_once -= 1
        return web.json_response(completion(f"echo {last_text(body)}"))


def completion(text: str, reason: str = "stop") -> dict[str, Any]:
    return {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": reason}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3},
    }


def last_text(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else content[-1]["text"]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    served = Endpoint()
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def serve() -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", served.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        started.set()

    task = loop.create_task(serve())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    assert started.wait(10), task
    yield served
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
