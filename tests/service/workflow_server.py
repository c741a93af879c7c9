"""A small server that speaks the part of Kubernetes' API that lists and watches Workflows."""

import contextlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
PATH = "/apis/argoproj.io/v1alpha1/namespaces/spa-vl/workflows"
TICK = 0.05


@dataclass
class Workflows:
    """What the server holds. Tests change it while it runs.

    Attributes:
        things: Workflows by name.
        history: Every change as (version, kind, Workflow).
        forgets: Number of next watches whose version is known no more.
        failures: HTTP statuses that the next calls fail with.
        calls: Path and query of every call.
        drop: Whether watches are to break off now.
    """

    things: dict[str, Json] = field(default_factory=dict)
    history: list[tuple[int, str, Json]] = field(default_factory=list)
    forgets: int = 0
    failures: list[int] = field(default_factory=list)
    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    drop: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def put(self, workflow: Json) -> None:
        """Make or change a Workflow."""
        name = workflow["metadata"]["name"]
        kind = "MODIFIED" if name in self.things else "ADDED"
        self.things[name] = workflow
        self._change(kind, workflow)

    def delete(self, name: str) -> None:
        """Delete one."""
        self._change("DELETED", self.things.pop(name))

    def _change(self, kind: str, workflow: Json) -> None:
        workflow["metadata"]["resourceVersion"] = str(len(self.history) + 1)
        self.history.append((len(self.history) + 1, kind, workflow))

    @property
    def watches(self) -> list[dict[str, str]]:
        """Queries of all watches so far."""
        return [query for path, query in self.calls if path == PATH and "watch" in query]


@contextmanager
def serving(held: Workflows) -> Iterator[Workflows]:
    """The server on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            held.calls.append((url.path, query))
            if held.failures:
                return self._answer(held.failures.pop(0), {"message": "no"})
            if "watch" in query:
                return self._watch(query)
            if url.path == PATH:
                # Only metadata is asked for: a client that takes more would see it missing.
                assert "as=PartialObjectMetadataList" in self.headers["Accept"]
                # In this order: what comes in between is watched, and told twice at worst.
                version = {"resourceVersion": str(len(held.history))}
                items = [{"metadata": each["metadata"]} for each in held.things.values()]
                # As the real one does: nothing to list is null, not a list of nothing.
                return self._answer(200, {"items": items or None, "metadata": version})
            found = held.things.get(url.path.rsplit("/", 1)[1])
            return self._answer(200, found) if found else self._answer(404, {"message": "no"})

        def _answer(self, status: int, content: Any) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _watch(self, query: dict[str, str]) -> None:
            seen = int(query["resourceVersion"])
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.close_connection = True
            if held.forgets:
                held.forgets -= 1
                self._send({"type": "ERROR", "object": {"code": 410, "message": "too old"}})
                return self._chunk(b"")
            waited = 0.0
            with contextlib.suppress(OSError):
                while waited < float(query["timeoutSeconds"]):
                    for version, kind, workflow in held.history[seen:]:
                        seen = version
                        self._send({"type": kind, "object": {"metadata": workflow["metadata"]}})
                    if held.drop.wait(TICK):
                        held.drop.clear()
                        return  # in the middle of the answer
                    waited += TICK
                mark = {"resourceVersion": str(seen)}
                self._send({"type": "BOOKMARK", "object": {"metadata": mark}})
                self._chunk(b"")

        def _send(self, event: Json) -> None:
            self._chunk(json.dumps(event).encode() + b"\n")

        def _chunk(self, data: bytes) -> None:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    held.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
