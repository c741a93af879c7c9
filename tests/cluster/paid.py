"""A paid endpoint in the cluster: it answers as OpenAI's does, and keeps who asked for what."""

import json
from types import TracebackType
from typing import Any

from tests.cluster.cluster import Cluster, Object, wait

PROGRAM = """
import hashlib, json, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(0.5)
        with open("/tmp/asked", "a") as asked:
            asked.write(hashlib.sha256(body).hexdigest() + "\\n")
        answer = {"id": "1", "object": "chat.completion", "model": json.loads(body)["model"],
                  "choices": [{"index": 0, "finish_reason": "stop", "message": {
                      "role": "assistant", "content": "I see a sign and say no more of it."}}],
                  "usage": {"prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 19}}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass

open("/tmp/asked", "w").close()
ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""


class PaidEndpoint:
    """The endpoint while a block lasts.

    Attributes:
        concurrency: Requests that a stage has under way at most.
        settings: What makes one responder ask it.
    """

    concurrency = 4

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster, self._name = cluster, f"paid-{name}"
        chat = {
            "backend": "openai",
            "base_url": f"http://{self._name}:8000/v1",
            "model": "paid",
            "concurrency": self.concurrency,
        }
        self.settings: dict[str, Any] = {"responses__responders__guardian__chat": json.dumps(chat)}

    def __enter__(self) -> "PaidEndpoint":
        self._cluster.apply(*_objects(self._cluster, self._name))
        wait("the endpoint", lambda: self._answers(), 120)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        policies = [f"networkpolicy/{self._name}-{way}" for way in ("egress", "ingress")]
        objects = [f"pod/{self._name}", f"service/{self._name}", *policies]
        self._cluster.kubectl("delete", *objects, "--grace-period=1")

    def questions(self) -> list[str]:
        """A digest of every request that was answered, in order."""
        return self._cluster.kubectl("exec", self._name, "--", "cat", "/tmp/asked").split()

    def _answers(self) -> bool:
        pod = self._cluster.get("pod", self._name)
        return bool(pod["status"].get("phase") == "Running")


def _objects(cluster: Cluster, name: str) -> list[Object]:
    """A pod of the chart's own image, its Service, and policies that let stages reach it."""
    watch = cluster.get("deployment", "spa-vl-run-watch")["spec"]["template"]["spec"]
    labels = {"app.kubernetes.io/part-of": "spa-vl", "app.kubernetes.io/component": "model"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {**labels, "paid": name}},
        "spec": {
            "securityContext": watch["securityContext"],
            "imagePullSecrets": watch.get("imagePullSecrets", []),
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "endpoint",
                    "image": watch["containers"][0]["image"],
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", PROGRAM],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "256Mi"}},
                }
            ],
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"paid": name}, "ports": [{"port": 8000}]},
    }
    stages = {"matchLabels": {"app.kubernetes.io/part-of": "spa-vl"}}
    port = [{"protocol": "TCP", "port": 8000}]
    policies = [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": f"{name}-{way}"},
            "spec": {
                "podSelector": of,
                "policyTypes": [kind],
                way: [{peer: [{"podSelector": to}], "ports": port}],
            },
        }
        for way, kind, of, peer, to in (
            ("egress", "Egress", stages, "to", {"matchLabels": {"paid": name}}),
            ("ingress", "Ingress", {"matchLabels": {"paid": name}}, "from", stages),
        )
    ]
    return [pod, service, *policies]
