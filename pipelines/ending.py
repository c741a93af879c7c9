"""What is said when a run has ended: figures, decision, why it failed, links that open."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pipelines.following import Ended, mlflow_link
from pipelines.kubernetes_access import Kubernetes, NoClusterError
from pipelines.placement import ENVIRONMENT, WORK_VOLUME
from spavl.errors import InputError

API_PORT = 8888
"""KFP's API server answers here, and has no pages; its UI is a Service of its own."""


@dataclass(frozen=True)
class Place:
    """Where a run is, for links to it.

    Attributes:
        host: URL of KFP's API; none within the cluster.
        ui: URL of KFP's pages, where it was named.
        kfp_namespace: Namespace of KFP itself.
        namespace: Namespace of the run's pods.
        forwarded: Whether the API is reached through kubectl, so its pages are too.
        kubernetes: The cluster, where it can be asked.
    """

    host: str | None
    ui: str | None
    kfp_namespace: str
    namespace: str
    forwarded: bool = False
    kubernetes: Kubernetes | None = None


def kfp_page(place: Place, run_id: str) -> str:
    """Where a browser shows the run, or how to get there."""
    page = f"#/runs/details/{run_id}"
    if place.ui:
        return f"{place.ui.rstrip('/')}/{page}"
    if place.host and not place.forwarded and urlsplit(place.host).port != API_PORT:
        return f"{place.host.rstrip('/')}/{page}"
    return (
        f"http://localhost:8080/{page} after kubectl --namespace {place.kfp_namespace} "
        "port-forward service/ml-pipeline-ui 8080:80"
    )


def end_lines(ended: Ended, place: Place) -> Iterator[str]:
    """Everything to say of a run that has ended."""
    run = ended.run
    if ended.table:
        yield ended.table
    if run.state == "SUCCEEDED":
        report = f"runs/{run.run_id}/report.html on volume {WORK_VOLUME}"
        yield f"report   task Write report on KFP's page; {report}"
    yield f"KFP      {kfp_page(place, run.run_id)}"
    if link := mlflow_link(run) or _mlflow_page(place):
        yield f"MLflow   {link}"
    for label, fault in ended.faults.items() if ended.failed else ():
        yield f"failed   {label}: {fault}"
    reason = ended.late or (run.error.message if run.error else "")
    yield f"run {run.display_name} {run.state.lower()}{f': {reason}' if reason else ''}"


def _mlflow_page(place: Place) -> str:
    """MLflow's address as its pods know it, or how to get there; empty where nobody says."""
    environment = _environment(place)
    uri = (environment.get("data") or {}).get("MLFLOW_TRACKING_URI", "")
    parts = urlsplit(uri)
    service, *rest = (parts.hostname or "").split(".")
    if uri and (not rest or "svc" in rest):
        namespace = rest[0] if rest and rest[0] != "svc" else place.namespace
        port = parts.port or 80
        return (
            f"http://localhost:{port} after kubectl --namespace {namespace} "
            f"port-forward service/{service} {port}"
        )
    return uri


def _environment(place: Place) -> dict[str, Any]:
    if place.kubernetes is None:
        return {}
    path = f"/api/v1/namespaces/{place.namespace}/configmaps/{ENVIRONMENT}"
    try:
        return place.kubernetes.get(path) or {}
    except (InputError, NoClusterError):  # a link less is no reason to end badly
        return {}
