"""A small server that speaks the part of Kubernetes' API that a TrainJob takes."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]
JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/spa-vl/trainjobs"
PODS = "/api/v1/namespaces/spa-vl/pods"


@dataclass
class Kubernetes:
    """What the server holds. Tests change it while it runs.

    Attributes:
        looks: What the next looks at the TrainJob show: a status, or an HTTP status to fail with.
        pods: Pods by name.
        logs: Lines of pods, each with its time.
        job: The TrainJob, if there is one.
        refusal: HTTP status to refuse a TrainJob with.
        log_failures: HTTP statuses that the next calls for a log fail with.
        calls: Method and path of every call.
    """

    looks: Iterator[Json | int] = field(default_factory=lambda: iter(()))
    pods: dict[str, Json] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)
    job: Json | None = None
    refusal: int = 0
    log_failures: list[int] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Status and content of an answer; bytes are a text."""
        match method, path.removeprefix(JOBS).removeprefix(PODS).strip("/").split("/"):
            case "GET", [_, "log"] if self.log_failures:
                return self.log_failures.pop(0), {"message": "no log"}
            case "GET", [_, "log"] if query.get("container") != "node":
                # So the server answers where a pod has several containers.
                return 400, {"message": "a container name must be specified"}
            case "GET", [pod, "log"]:
                since = query.get("sinceTime", "")[:19]
                return 200, "\n".join(one for one in self.logs[pod] if one[:19] >= since).encode()
            case "GET", [""]:
                return 200, {"items": list(self.pods.values())}
            case "POST", [""]:
                if self.refusal:
                    return self.refusal, {"message": "trainjobs is forbidden"}
                if self.job:
                    return 409, {"message": "exists"}
                self.job = body
                return 201, body
            case "DELETE", [_]:
                self.job = None
                return 200, {}
            case "GET", [name] if path.startswith(PODS):
                return 200, self.pods[name]
            case "GET", [_] if self.job:
                look = next(self.looks, {})
                return (look, {}) if isinstance(look, int) else (200, {**self.job, "status": look})
        return 404, {"message": f"{path} not found"}


@contextmanager
def serving(kubernetes: Kubernetes) -> Iterator[Kubernetes]:
    """The server on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            kubernetes.calls.append((self.command, url.path))
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            status, content = kubernetes.answer(self.command, url.path, query, body)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _serve

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    kubernetes.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield kubernetes
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
