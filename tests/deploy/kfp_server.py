"""A small server that speaks KFP's API in the SDK's models, records calls and fails on demand."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api as api
import yaml

START = datetime(2026, 1, 1, tzinfo=UTC)
CODEC = api.ApiClient()
COMPILED = Path(__file__).resolve().parents[2] / "manifests" / "pipelines" / "spa_vl.yaml"
SPEC = dict(
    zip(("pipeline_spec", "platform_spec"), yaml.safe_load_all(COMPILED.read_text()), strict=True)
)
"""What the server answers for a version, in the form of KFP 2.17."""


@dataclass
class Call:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    token: str | None


@dataclass
class Kfp:
    """What the server holds. Tests change it while it runs."""

    host: str = ""
    token: str | None = None
    multi_user: bool = False
    store: str = "database"
    pipelines: list[Any] = field(
        default_factory=lambda: [
            api.V2beta1Pipeline(pipeline_id="pipeline-1", display_name="spa-vl", namespace="")
        ]
    )
    calls: list[Call] = field(default_factory=list)
    experiments: list[Any] = field(default_factory=list)
    runs: list[Any] = field(default_factory=list)
    recurring: list[Any] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=lambda: {"spa-vl-0.1.0": "version-1"})
    looks: Iterator[Any] = field(default_factory=lambda: iter(()))
    before: Callable[[Call], "int | str | None"] = lambda call: None
    after: Callable[[Call], "int | str | None"] = lambda call: None

    def made(self, path: str) -> list[Call]:
        """Calls that made something below a path."""
        return [call for call in self.calls if call.method == "POST" and call.path.endswith(path)]


def answer(kfp: Kfp, call: Call) -> Any:
    """What a call gets; None is 404, a tuple a refusal."""
    name = _wanted(call.query)
    match call.method, call.path.removeprefix("/apis/v2beta1/").split("/"):
        case "GET", ["healthz"]:
            return api.V2beta1GetHealthzResponse(kfp.multi_user, kfp.store)
        case _, _ if kfp.multi_user and _needs_namespace(call):
            return 400, "Namespace is required"
        case "GET", ["experiments"]:
            return api.V2beta1ListExperimentsResponse(experiments=_by(kfp.experiments, name))
        case "POST", ["experiments"]:
            made = _read(call.body, "V2beta1Experiment")
            made.experiment_id = f"experiment-{len(kfp.experiments) + 1}"
            kfp.experiments.append(made)
            return made
        case "GET", ["pipelines"]:
            listed = _by(_visible(kfp, call.query.get("namespace", "")), name)
            return api.V2beta1ListPipelinesResponse(pipelines=listed or None)
        case "GET", ["pipelines", _, "versions"]:
            all_ = [
                api.V2beta1PipelineVersion(pipeline_version_id=key, display_name=each)
                for each, key in kfp.versions.items()
            ]
            return api.V2beta1ListPipelineVersionsResponse(pipeline_versions=_by(all_, name))
        case "GET", ["pipelines", _, "versions", version]:
            return api.V2beta1PipelineVersion(pipeline_version_id=version, pipeline_spec=SPEC)
        case "GET", ["runs"]:
            return api.V2beta1ListRunsResponse(runs=_by(kfp.runs, name))
        case "POST", ["runs"]:
            run = _read(call.body, "V2beta1Run")
            run.run_id, run.state = f"run-{len(kfp.runs) + 1}", "PENDING"
            kfp.runs.append(run)
            return run
        case "GET", ["runs", run_id]:
            run = next((run for run in kfp.runs if run.run_id == run_id), None)
            return next(kfp.looks, run)
        case "GET", ["recurringruns"]:
            return api.V2beta1ListRecurringRunsResponse(recurring_runs=_by(kfp.recurring, name))
        case "POST", ["recurringruns"]:
            job = _read(call.body, "V2beta1RecurringRun")
            job.recurring_run_id = f"job-{len(kfp.calls)}"
            job.status = "ENABLED" if job.mode == "ENABLE" else "DISABLED"
            kfp.recurring.append(job)
            return job
        case "DELETE", ["recurringruns", job_id]:
            kfp.recurring = [job for job in kfp.recurring if job.recurring_run_id != job_id]
            return {}
    return None


def _needs_namespace(call: Call) -> bool:
    """Experiments are somebody's where KFP serves several users."""
    if not call.path.endswith("/experiments"):
        return False
    given = call.body if call.method == "POST" else call.query
    return not given.get("namespace")


def _visible(kfp: Kfp, namespace: str) -> list[Any]:
    """Pipelines that a list shows: as KFP 2.17's two stores do it.

    A server for one user asks for the empty namespace whatever it is told; the database takes that
    literally, a list from Kubernetes takes it for all.
    """
    wanted = namespace if kfp.multi_user else ""
    if wanted == "" and kfp.store == "kubernetes":
        return kfp.pipelines
    return [one for one in kfp.pipelines if (one.namespace or "") == wanted]


def look(state: str, **tasks: str) -> api.V2beta1Run:
    """A run as one look at it shows it: its state, and those of its tasks."""
    details = [
        api.V2beta1PipelineTaskDetail(
            task_id=name,
            display_name=name.replace("_", "-"),
            state=task,
            start_time=START,
            end_time=START + timedelta(seconds=42) if task in ("SUCCEEDED", "FAILED") else None,
        )
        for name, task in tasks.items()
    ]
    return api.V2beta1Run(
        run_id="run-1",
        display_name="first",
        state=state,
        run_details=api.V2beta1RunDetails(task_details=details),
        pipeline_version_reference=api.V2beta1PipelineVersionReference("pipeline-1", "version-1"),
    )


@contextmanager
def serving(kfp: Kfp) -> Iterator[Kfp]:
    """The server on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            token = (self.headers.get("authorization") or "").removeprefix("Bearer ") or None
            call = Call(self.command, url.path, query, body, token)
            kfp.calls.append(call)
            if kfp.token is not None and token != kfp.token:
                self._send(401, {"error": "token expired"})
            elif (fault := kfp.before(call)) is not None:
                self._fail(fault)
            else:
                content = answer(kfp, call)
                if (fault := kfp.after(call)) is not None:
                    self._fail(fault)
                elif isinstance(content, tuple):
                    self._send(content[0], {"error": content[1]})
                elif content is None:
                    self._send(404, {"error": f"{url.path} not found"})
                else:
                    self._send(200, CODEC.sanitize_for_serialization(content))

        def _fail(self, fault: int | str) -> None:
            if isinstance(fault, str):  # the connection ends in mid-answer
                self.close_connection = True
                self.connection.close()
            else:
                self._send(fault, {"error": f"planted {fault}\nwith details"})

        def _send(self, status: int, content: Any) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _serve

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *arguments: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    kfp.host = f"http://127.0.0.1:{server.server_port}"
    try:
        yield kfp
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _wanted(query: dict[str, str]) -> str | None:
    match = re.search(r'"stringValue": ?"([^"]*)"', query.get("filter", ""))
    return match.group(1) if match else None


def _by(items: list[Any], name: str | None) -> list[Any]:
    return [item for item in items if name is None or item.display_name == name]


class _Body:
    """What the generated client deserialises from."""

    def __init__(self, content: Any) -> None:
        self.data = json.dumps(content)


def _read(body: Any, model: str) -> Any:
    return CODEC.deserialize(_Body(body), model)
