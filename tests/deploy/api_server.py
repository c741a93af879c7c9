"""A Kubernetes API server as small as Helm needs it to look objects up: discovery and objects."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.deploy.rendering import Resource


@contextmanager
def api_server(kinds: Sequence[Resource], held: Sequence[Resource]) -> Iterator[str]:
    """A running server; gives its address.

    Args:
        kinds: Objects of all kinds that it knows.
        held: Objects that it has.
    """
    answers = _discovery([*kinds, *held]) | {_path(each): each for each in held}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.split("?")[0].rstrip("/"))
            body = json.dumps(answer or {"kind": "Status", "code": 404, "reason": "NotFound"})
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def _discovery(objects: Sequence[Resource]) -> dict[str, Any]:
    versions: dict[str, dict[str, Any]] = defaultdict(dict)
    for each in objects:
        versions[each["apiVersion"]][each["kind"]] = {
            "name": _plural(each["kind"]),
            "kind": each["kind"],
            "namespaced": "namespace" in each["metadata"],
            "verbs": ["get"],
        }
    lists = {
        _root(version): {
            "kind": "APIResourceList",
            "groupVersion": version,
            "resources": list(kinds.values()),
        }
        for version, kinds in versions.items()
    }
    names = [version for version in versions if "/" in version]
    each = [{"groupVersion": name, "version": name.split("/")[1]} for name in names]
    groups = [
        {"name": one["groupVersion"].split("/")[0], "versions": [one], "preferredVersion": one}
        for one in each
    ]
    return lists | {
        "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.4"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
    }


def _path(resource: Resource) -> str:
    meta = resource["metadata"]
    where = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    return f"{_root(resource['apiVersion'])}{where}/{_plural(resource['kind'])}/{meta['name']}"


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _plural(kind: str) -> str:
    name = kind.lower()
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"
