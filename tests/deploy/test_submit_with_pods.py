"""`spavl submit` where a kube config may read the run's pods: progress, reasons, the run's end."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kfp_server_api as api
import pytest

from pipelines.cli import main
from tests.deploy import argo, cluster_server, kfp_server
from tests.deploy.cluster_server import Cluster
from tests.deploy.kfp_server import Kfp, look
from tests.deploy.pods import PODS, ended, event, pod

Submit = Callable[..., tuple[int, list[str]]]
TABLE = "figure            base    dpo\nHarmEval USR ↓  40.0    20.0\nPromoted: dpo."


@pytest.fixture
def kfp() -> Iterator[Kfp]:
    with kfp_server.serving(Kfp()) as running:
        yield running


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with cluster_server.serving(Cluster()) as running:
        yield running


@pytest.fixture
def submit(
    kfp: Kfp,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Submit:
    """`spavl submit` for somebody with a kube config: exit code, and what was printed."""
    import kfp as sdk

    monkeypatch.setattr(sdk.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "no-context.json"))
    monkeypatch.delenv("KF_PIPELINES_UI_ENDPOINT", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kube_config(tmp_path / "config")))

    def run(*arguments: str) -> tuple[int, list[str]]:
        given = ("--host", kfp.host, "--every", "0.05", "--version", "spa-vl-0.1.0", *arguments)
        monkeypatch.setattr("sys.argv", ["spavl", "submit", *given])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        assert told.err == ""
        return int(end.value.code or 0), told.out.splitlines()

    return run


def put(cluster: Cluster, name: str, made: dict[str, Any], *log: str) -> None:
    made["metadata"]["name"] = name
    cluster.put(f"{PODS}/{name}", **made)
    cluster.logs[name] = list(log)


def test_a_good_end_has_figures_decision_and_links(
    kfp: Kfp, cluster: Cluster, submit: Submit
) -> None:
    kfp.looks = iter([look("SUCCEEDED", collect_images="SUCCEEDED", write_report="SUCCEEDED")])
    summary = event(2, "summary", text="Promoted: dpo.", table=TABLE)
    put(cluster, "r", pod("write-report", "Succeeded"), summary)
    environment = {"MLFLOW_TRACKING_URI": "http://spa-vl-mlflow.kubeflow.svc:5000"}
    cluster.put("/api/v1/namespaces/kubeflow/configmaps/spa-vl-environment", data=environment)
    code, lines = submit("--name", "first")
    assert code == 0
    page = f"KFP      {kfp.host}/#/runs/details/run-1"
    assert lines == [
        "run first: run-1",
        page,
        "[Write report] Promoted: dpo.",
        "[Collect images] kept from an earlier run",
        *TABLE.splitlines(),
        "report   task Write report on KFP's page; runs/run-1/report.html on volume spa-vl-work",
        page,
        "MLflow   http://localhost:5000 after kubectl --namespace kubeflow port-forward "
        "service/spa-vl-mlflow 5000",
        "run first succeeded",
    ]


def test_pods_tell_when_kfps_own_details_have_frozen(
    kfp: Kfp, cluster: Cluster, submit: Submit
) -> None:
    kfp.looks = iter([look("RUNNING", train_dpo="RUNNING")] * 3 + [look("SUCCEEDED")])
    looks = itertools.count()

    def go_on(call: kfp_server.Call) -> None:
        if call.path.endswith("/runs/run-1"):
            number = next(looks)
            done = event(number, "progress", done=number, total=9, unit="steps", metrics={})
            cluster.logs["a"].append(done)

    put(cluster, "a", pod("train-dpo"), event(0, "started"))
    kfp.before = go_on
    code, lines = submit()
    assert code == 0
    assert [line for line in lines if line.startswith("[")] == [
        "[Align by DPO] started",
        "[Align by DPO] 0/9 steps",
        *(f"[Align by DPO] {number}/9 steps" for number in (1, 2, 3)),
    ]


def test_the_exit_code_is_the_failed_stages(kfp: Kfp, cluster: Cluster, submit: Submit) -> None:
    kfp.looks = iter([look("FAILED")])
    failed = event(2, "failed", message="no such folder (x): give one", exit_code=2)
    put(cluster, "a", pod("train-dpo", "Failed", **ended(1)), failed)
    code, lines = submit()
    assert code == 2
    assert "[Align by DPO] failed: no such folder (x): give one" in lines
    assert lines[-1] == "run first failed"
    assert len(kfp.runs) == 1


def named(name: str, state: str) -> api.V2beta1Run:
    run = look(state)
    run.display_name = name
    return run


def evicted(cluster: Cluster, run: str = "run-1") -> None:
    status = {"reason": "Evicted", "message": "The node was low on resource: memory."}
    made = pod("train-dpo", "Failed", **status)
    made["metadata"]["labels"]["pipeline/runid"] = run
    put(cluster, f"of-{run}", made)


def test_a_fault_that_passes_starts_another_run_under_another_name(
    kfp: Kfp, cluster: Cluster, submit: Submit
) -> None:
    evicted(cluster)
    kfp.looks = iter([named("first", "FAILED"), named("first-2", "SUCCEEDED")])
    code, lines = submit("--name", "first")
    assert code == 0
    assert "started again as first-2, finished work is kept" in "\n".join(lines)
    assert [run.display_name for run in kfp.runs] == ["first", "first-2"]
    sent = [call.body for call in kfp.made("/runs")]
    assert sent[0]["runtime_config"] == sent[1]["runtime_config"]


def test_a_run_that_a_person_terminated_is_not_started_again(
    kfp: Kfp, cluster: Cluster, submit: Submit
) -> None:
    """KFP 2.17.0 says CANCELING of it for a while, and FAILED in the end; its pods are gone."""
    evicted(cluster)
    kfp.looks = iter([named("first", "CANCELING"), named("first", "FAILED")])
    code, _ = submit("--name", "first")
    assert code == 75
    assert [run.display_name for run in kfp.runs] == ["first"]


def test_a_run_whose_own_deadline_ran_out_is_not_started_again(
    kfp: Kfp, cluster: Cluster, submit: Submit
) -> None:
    """Its pods look as if they had been taken away; only the Workflow says why."""
    evicted(cluster)
    late = argo.ended(
        argo.workflow(run="run-1"), "Failed", nodes=argo.failing("Step exceeded its deadline")
    )
    late["spec"]["activeDeadlineSeconds"] = 1800
    cluster.put("/apis/argoproj.io/v1alpha1/namespaces/kubeflow/workflows/late", **late)
    kfp.looks = iter([named("first", "FAILED")])
    code, lines = submit("--name", "first")
    assert code == 75
    assert lines[-1] == "run first failed: timed out after 1800 seconds"
    assert [run.display_name for run in kfp.runs] == ["first"]


@pytest.mark.parametrize(("tries", "runs"), [("1", 1), ("3", 3)])
def test_no_more_runs_are_started_than_were_asked_for(
    kfp: Kfp, cluster: Cluster, submit: Submit, tries: str, runs: int
) -> None:
    for number in (1, 2, 3):
        evicted(cluster, f"run-{number}")
    kfp.looks = iter([])
    kfp.after = lambda call: fail_all(kfp)
    code, lines = submit("--name", "first", "--tries", tries)
    assert code == 75
    assert [run.display_name for run in kfp.runs] == ["first", "first-2", "first-3"][:runs]
    assert sum("taken away: The node was low" in line for line in lines) >= runs


def fail_all(kfp: Kfp) -> None:
    for run in kfp.runs:
        run.state = "FAILED"


def test_a_run_that_is_only_followed_is_not_started_again(
    kfp: Kfp, cluster: Cluster, submit: Submit
) -> None:
    evicted(cluster)
    kfp.looks = iter([look("FAILED")])
    code, _ = submit("--follow", "run-1")
    assert code == 75
    assert kfp.runs == []


def test_without_the_right_to_pods_kfp_tells_the_stages(
    kfp: Kfp, cluster: Cluster, submit: Submit
) -> None:
    cluster.refused = {PODS}
    kfp.looks = iter([look("SUCCEEDED", train_dpo="SUCCEEDED")])
    code, lines = submit()
    assert code == 0
    assert any("no right to get" in line and "KFP alone" in line for line in lines)
    assert "[Align by DPO] succeeded after 42 s" in lines


def test_a_kube_config_of_another_cluster_hides_nothing(kfp: Kfp, submit: Submit) -> None:
    kfp.looks = iter([look("SUCCEEDED", train_dpo="SUCCEEDED")])
    code, lines = submit()
    assert code == 0
    assert "[Align by DPO] succeeded after 42 s" in lines


def test_a_kube_config_of_a_cluster_that_is_no_more_is_told_once(
    kfp: Kfp, submit: Submit, tmp_path: Path
) -> None:
    with cluster_server.serving(Cluster()) as gone:
        gone.kube_config(tmp_path / "config")
    kfp.looks = iter([look("RUNNING", train_dpo="RUNNING")] * 3 + [look("SUCCEEDED")])
    code, lines = submit()
    assert code == 0
    assert sum("no Kubernetes API answers" in line for line in lines) == 1
    assert "[Align by DPO] running" in lines


@pytest.mark.parametrize(
    ("arguments", "page"),
    [
        (("--ui", "https://k.example/_/pipeline/"), "https://k.example/_/pipeline/#/runs/details/"),
        ((), "http://127.0.0.1:"),
    ],
)
def test_the_page_is_where_a_browser_finds_it(
    kfp: Kfp, submit: Submit, arguments: tuple[str, ...], page: str
) -> None:
    _, lines = submit("--no-wait", *arguments)
    assert lines[-1].startswith(f"KFP      {page}")


def test_a_port_forward_to_the_api_is_no_page(
    kfp: Kfp, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl = tmp_path / "kubectl"
    there = kfp.host.removeprefix("http://")
    kubectl.write_text(f"#!/bin/sh\necho 'Forwarding from {there} -> 8888'\nexec sleep 60\n")
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    _, lines = submit("--no-wait", "--port-forward")
    assert lines[-1] == (
        "KFP      http://localhost:8080/#/runs/details/run-1 after kubectl --namespace kubeflow "
        "port-forward service/ml-pipeline-ui 8080:80"
    )
