"""A judge that is a model, behind an endpoint on loopback: what it was asked, and verdicts."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class JudgeServer:
    """An endpoint.

    Attributes:
        url: Its address.
        model: The one model that it serves.
        texts: What it was asked, in words.
        pictures: How many requests showed a picture.
    """

    url: str
    model: str
    texts: list[str] = field(default_factory=list)
    pictures: int = 0

    def reply(self, messages: list[dict[str, Any]]) -> str:
        """A verdict in the first words that the template offers."""
        content = messages[-1]["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "\n".join(part["text"] for part in parts if part["type"] == "text")
        self.texts.append(text)
        self.pictures += any(part["type"] == "image_url" for part in parts)
        return f"Verdict: {offered(text)}"


def offered(text: str) -> str:
    """The template's word for a model that does right: a tie, full compliance, a safe answer."""
    return next(word for word in ("tie", "full", "safe") if f"Verdict: {word}" in text)


@contextmanager
def judge_server(model: str) -> Iterator[JudgeServer]:
    """Serves one judge for as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"data": [{"id": model}]})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            message = {"role": "assistant", "content": served.reply(asked["messages"])}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1}
            self._send({"model": model, "choices": [choice], "usage": usage})

        def _send(self, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = JudgeServer(f"http://127.0.0.1:{server.server_port}/v1", model)
        Thread(target=server.serve_forever, daemon=True).start()
        yield served
        server.shutdown()
