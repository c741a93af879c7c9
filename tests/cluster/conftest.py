"""One installation for the whole suite, by the commands of docs/cluster.md, and its removal."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from pipelines.cluster import Access, connect
from pipelines.submission import port_forward
from tests.cluster.cluster import Cluster, missing, wait
from tests.cluster.runs import Run

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "cluster.md"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the suite where there is no cluster."""
    here = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    if here and (why := missing()):
        for item in here:
            item.add_marker(pytest.mark.skip(reason=why))


def commands(heading: str) -> str:
    """The shell commands below a heading of the page."""
    section = PAGE.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))


def shell(script: str, **variables: str) -> str:
    """Run commands of the page in the checkout, as a user who stops at the first error."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env={**os.environ, **variables, "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def commands_environment(cluster: Cluster) -> dict[str, str]:
    """What the page's commands ask for; SPAVL_VALUES names a file of further values."""
    example = "kind" if cluster.namespace == cluster.kfp else "profile"
    own = os.environ.get("SPAVL_VALUES")
    values = [f"charts/spa-vl/examples/{example}.yaml", *([own] if own else [])]
    return {"NAMESPACE": cluster.namespace, "VALUES": ",".join(values)}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The chart in a namespace of the cluster; removed afterwards, KFP as it was before."""
    found = Cluster(os.environ.get("SPAVL_NAMESPACE", "kubeflow"))
    variables = commands_environment(found)
    if subprocess.run(["helm", "status", "spa-vl", "--namespace", found.namespace]).returncode == 0:
        yield found  # somebody's own installation, which is left as it is
        return
    before = objects(found)
    shell(commands("Install"), **variables)
    try:
        yield found
    finally:
        shell(commands("Remove"), **variables)
    wait("KFP's objects as before", lambda: objects(found) == before, 120)


def objects(cluster: Cluster) -> dict[str, Any]:
    """What is in the namespace, but for what runs leave there on purpose."""
    kinds = "configmaps,secrets,services,deployments,serviceaccounts,networkpolicies,roles"
    found = cluster.get(kinds)["items"]
    return {
        f"{each['kind']}/{each['metadata']['name']}": each.get("data", each.get("spec"))
        for each in found
    }


@pytest.fixture(scope="session")
def kfp(cluster: Cluster) -> Iterator[Any]:
    """A client of KFP."""
    with port_forward(cluster.kfp) as host:
        namespace = None if cluster.namespace == cluster.kfp else cluster.namespace
        token = None
        if namespace:
            create = ["create", "token", "spa-vl-submitter", "--audience=pipelines.kubeflow.org"]
            token = cluster.kubectl(*create).strip()
        yield connect(Access(host, namespace, token))


@pytest.fixture(scope="session")
def mlflow(cluster: Cluster) -> Callable[[Run], list[Any]]:
    """Parent runs in MLflow of a run of ours."""

    def found(run: Run) -> list[Any]:
        with forwarded(cluster, "service/spa-vl-mlflow", 5000) as place:
            address = f"{place}/api/2.0/mlflow"
            experiments = requests.get(
                f"{address}/experiments/search", params={"max_results": 100}, timeout=30
            ).json()["experiments"]
            answer = requests.post(
                f"{address}/runs/search",
                json={
                    "experiment_ids": [each["experiment_id"] for each in experiments],
                    "filter": f"attributes.run_name = '{run.name}'",
                },
                timeout=30,
            )
            return list(answer.json().get("runs", []))

    return found


@contextmanager
def forwarded(cluster: Cluster, service: str, port: int) -> Iterator[str]:
    """A service at a name that MLflow answers to, anew each time: its pod may be another one."""
    forward = ["kubectl", "--namespace", cluster.namespace, "port-forward", service, f":{port}"]
    process = subprocess.Popen(forward, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://localhost:{process.stdout.readline().split()[2].rpartition(':')[2]}"
    finally:
        process.terminate()
        process.wait(10)
