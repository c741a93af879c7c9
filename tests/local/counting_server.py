"""A server of every endpoint that a run asks: it answers in kind, and counts calls and tokens.

Each endpoint is a path, `/<endpoint>/v1`. Tokens are pieces of words of at most five letters and
single signs, about as a tokenizer's are; a picture counts 576.
"""

import asyncio
import hashlib
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

PICTURE_TOKENS = 576
PROMPT_PRICE, COMPLETION_PRICE = 2.5, 10.0
SENTENCE = (
    "a picture of the street where people walk along and look at something that others hold in "
    "their hands while it rains over houses and gardens behind them"
)
WORDS = SENTENCE.split()
_PIECES = re.compile(r"\w{1,5}|[^\w\s]")


def tokens_of(text: str) -> int:
    """Pieces of a text."""
    return len(_PIECES.findall(text))


@dataclass
class CountingServer:
    """Answers and counts.

    Attributes:
        calls: Calls by endpoint.
        read: Tokens that they read.
        written: Tokens that they wrote.
        asked: How often each request came in, by a digest of its body.
        seconds: How long an answer takes.
    """

    calls: Counter[str] = field(default_factory=Counter)
    read: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    url: str = ""

    def cost(self, endpoint: str = "") -> float:
        """Money for the calls to an endpoint, or to all."""
        names = [endpoint] if endpoint else list(self.calls)
        read, written = (sum(each[name] for name in names) for each in (self.read, self.written))
        return (PROMPT_PRICE * read + COMPLETION_PRICE * written) / 1e6

    async def handle(self, request: web.Request) -> web.Response:
        endpoint, content = request.match_info["endpoint"], await request.read()
        self.asked[endpoint + hashlib.sha256(content).hexdigest()] += 1
        text, read = _said(await request.json())
        answer = _answer(endpoint, text, hashlib.sha256(content).digest())
        usage = {"prompt_tokens": read, "completion_tokens": tokens_of(answer)}
        self.calls[endpoint] += 1
        self.read[endpoint] += read
        self.written[endpoint] += usage["completion_tokens"]
        await asyncio.sleep(self.seconds)
        message = {"role": "assistant", "content": answer}
        return web.json_response(
            {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
        )


@contextmanager
def counting_server() -> Iterator[CountingServer]:
    """Serves on loopback while the context lasts."""
    server, loop, started = CountingServer(), asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/{endpoint}/v1/chat/completions", server.handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()

    task = loop.create_task(serve())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    assert started.wait(30), task
    yield server
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def _said(body: dict[str, Any]) -> tuple[str, int]:
    """Everything that was said, and its tokens with the picture's."""
    texts, pictures = [], 0
    for message in body["messages"]:
        content = message["content"]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            texts.append(part.get("text", ""))
            pictures += part["type"] == "image_url"
    text = "\n".join(texts)
    return text, tokens_of(text) + PICTURE_TOKENS * pictures


def _answer(endpoint: str, text: str, draw: bytes) -> str:
    kind, _, number = endpoint.partition("-")
    if kind == "captioner":
        return _words(draw, 18 + draw[0] % 7)
    if kind == "writer":
        return _words(draw, 18 + draw[0] % 7) + " in this picture" + _ending(text)
    if kind == "responder":
        willing = draw[1] < 255 * (int(number) + 1) / 13
        start = "gladly" if willing else "sorry"
        return f"{start} {_words(draw, 50 + draw[0] % 17)}."
    if kind == "moderator":
        return "unsafe\nO5" if "gladly" in text else "safe"
    return f"The one is kinder to {_words(draw, 8)}.\nVerdict: {_verdict(text)}"


def _words(draw: bytes, count: int) -> str:
    return " ".join(WORDS[(draw[place % 32] + place) % len(WORDS)] for place in range(count))


def _ending(text: str) -> str:
    return "." if "Kind: hard_statement" in text else "?"


def _verdict(text: str) -> str:
    if "Verdict: safe" in text:
        return "safe"
    if "Verdict: full" in text:
        return "full"
    answers = re.findall(r"<(?:first|second)(?:_answer)?>\n(.*?)\n</", text, re.DOTALL)
    one, other = (("gladly" in each, each) for each in answers)
    return "tie" if one == other else "first" if one < other else "second"
