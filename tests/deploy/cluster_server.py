"""A small server that speaks Kubernetes' API for whatever objects a test puts into it."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Json = dict[str, Any]


@dataclass
class Cluster:
    """What the server holds. Tests change it while it runs.

    Attributes:
        objects: Objects by path, e.g. `/api/v1/namespaces/kubeflow/pods/a`.
        logs: Lines of pods by name, each with its time.
        refused: Paths that this account has no right to; what lies below them too.
        failing: Statuses that paths answer with instead.
        made: Told of each object that a call makes.
        calls: Method and path of every call.
        sent: Every answer, as text.
    """

    objects: dict[str, Json] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    failing: dict[str, int] = field(default_factory=dict)
    made: Callable[[str, Json], None] = lambda path, body: None
    calls: list[tuple[str, str]] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    url: str = ""

    def put(self, path: str, **content: Any) -> Json:
        """Put an object at a path."""
        before = self.objects.get(path, {}).get("metadata", {})
        named = {"name": path.rpartition("/")[2], "uid": before.get("uid") or uuid.uuid4().hex}
        metadata = {**named, **content.pop("metadata", {})}
        self.objects[path] = {"metadata": metadata, **content}
        return self.objects[path]

    def kube_config(self, file: Path) -> Path:
        """A kube config that leads here."""
        named = {"name": "here"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{**named, "cluster": {"server": self.url}}],
            "users": [{**named, "user": {"token": "t"}}],
            "contexts": [{**named, "context": {"cluster": "here", "user": "here"}}],
        }
        file.write_text(yaml.safe_dump(config))
        return file

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Status and content of an answer; a text is sent as it is."""
        if path in self.failing:
            return self.failing[path], {"message": f"planted {self.failing[path]}"}
        if any(path == one or path.startswith(f"{one}/") for one in self.refused):
            return 403, {"message": "forbidden"}
        if path.endswith("/log"):
            name = path.split("/")[-2]
            if query.get("container") != "main" or name not in self.logs:
                return 400, {"message": "container main is waiting to start: PodInitializing"}
            since = query.get("sinceTime", "")[:19]
            return 200, "\n".join(line for line in self.logs[name] if line[:19] >= since)
        match method:
            case "POST":
                name = body["metadata"]["name"]
                self.objects[f"{path}/{name}"] = body
                self.made(f"{path}/{name}", body)
                return 201, body
            case "DELETE":
                self.objects.pop(path, None)
                return 200, {}
        if path in self.objects:
            return 200, self.objects[path]
        items = [
            one
            for at, one in self.objects.items()
            if at.rpartition("/")[0] == path and _selected(one, query)
        ]
        if not items and not path.rpartition("/")[2].endswith(("s", "ies")):
            return 404, {"message": f"{path} not found"}
        return 200, {"items": items[: int(query.get("limit", len(items)))]}


def _selected(item: Json, query: dict[str, str]) -> bool:
    labels = item["metadata"].get("labels", {})
    return all(
        _holds(term, labels.get(_key(term)))
        for term in filter(None, query.get("labelSelector", "").split(","))
    ) and all(
        _holds(term, _field(item, _key(term)))
        for term in filter(None, query.get("fieldSelector", "").split(","))
    )


def _key(term: str) -> str:
    return term.partition("=")[0].removesuffix("!")


def _holds(term: str, value: str | None) -> bool:
    key, _, wanted = term.partition("=")
    return (value != wanted) if key.endswith("!") else (value == wanted)


def _field(item: Json, path: str) -> Any:
    for key in path.split("."):
        item = item.get(key, {})
    return item


@contextmanager
def serving(cluster: Cluster) -> Iterator[Cluster]:
    """The server on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            cluster.calls.append((self.command, url.path))
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            status, content = cluster.answer(self.command, url.path, query, body)
            names_only = "PartialObjectMetadataList" in (self.headers.get("Accept") or "")
            if names_only and status == 200:
                content = {"items": [{"metadata": one["metadata"]} for one in content["items"]]}
            text = content if isinstance(content, str) else json.dumps(content)
            cluster.sent.append(text)
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _serve

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    cluster.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
