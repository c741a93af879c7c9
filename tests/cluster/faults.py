"""What befalls a stage's pod, made to happen."""

import json
from collections.abc import Callable

from tests.cluster.cluster import Cluster, ClusterError, Object, wait

Fault = Callable[[Cluster, Object], None]

# The stage's own process; the container's first one watches it.
KILL_STAGE = """
import os, pathlib, signal, sys
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        words = (folder / "cmdline").read_bytes().split(b"\\0")
    except OSError:
        continue
    if b"--inside" in words:
        os.kill(int(folder.name), signal.Signals[sys.argv[1]])
        sys.exit()
sys.exit("no stage here")
"""


def deleted(cluster: Cluster, pod: Object) -> None:
    """The pod is taken away."""
    cluster.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false", "--grace-period=1")


def evicted(cluster: Cluster, pod: Object) -> None:
    """As by draining: the node takes no more pods, the pod is evicted, the node is freed again."""
    node, name = pod["spec"]["nodeName"], pod["metadata"]["name"]
    cluster.kubectl("cordon", node)
    try:
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": cluster.namespace},
            "deleteOptions": {"gracePeriodSeconds": 1},
        }
        place = f"/api/v1/namespaces/{cluster.namespace}/pods/{name}/eviction"
        cluster.kubectl("create", "--raw", place, "--filename", "-", text=json.dumps(eviction))
        wait("the pod's end", lambda: not running(cluster, name), 120)
    finally:
        cluster.kubectl("uncordon", node)


def killed_by_memory(cluster: Cluster, pod: Object) -> None:
    """As the kernel ends a process where memory has run out."""
    _kill(cluster, pod, "SIGKILL")


def ended_by_exit_code(cluster: Cluster, pod: Object) -> None:
    """Told to end: a trainer keeps its step and ends with 75, others by the signal."""
    _kill(cluster, pod, "SIGTERM")


def _kill(cluster: Cluster, pod: Object, signal: str) -> None:
    name = pod["metadata"]["name"]

    def done() -> bool:
        command = ["exec", name, "--container=main", "--", "python3", "-c", KILL_STAGE, signal]
        try:
            cluster.kubectl(*command)
        except ClusterError:  # the stage is not there yet
            return not running(cluster, name)
        return True

    wait("the stage's process", done, 60, pause=0.3)


def running(cluster: Cluster, name: str) -> bool:
    """Whether a pod is at work."""
    found = cluster.get("pods", "--field-selector", f"metadata.name={name}")["items"]
    return bool(found and found[0]["status"].get("phase") == "Running")
