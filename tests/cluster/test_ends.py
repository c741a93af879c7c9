"""However a run ends, KFP, MLflow and the run's folder say the same of it."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spavl.errors import BAD_INPUT, DONE
from tests.cluster.cluster import Cluster, wait
from tests.cluster.runs import Run, agree, submit, succeeded

Runs = Callable[[Run], list[Any]]


def test_a_run_ends_with_its_figures_and_a_second_one_is_served_from_the_cache(
    cluster: Cluster, kfp: Any, mlflow: Runs, tmp_path: Path
) -> None:
    seed = secrets.randbelow(10**6)
    first = submit(cluster, tmp_path, "first", seed=seed)
    succeeded(first)
    agree(first, kfp, mlflow, "SUCCEEDED")
    text = first.log.read_text()
    for words in ("Align by DPO", "Write report", "HarmEval", "Reward model", "report"):
        assert words in text
    assert "executor" not in text
    second = submit(cluster, tmp_path, "second", seed=seed)
    succeeded(second)
    agree(second, kfp, mlflow, "SUCCEEDED")
    assert len(second.last_pods()) < len(first.last_pods()) / 2
    assert second.summary["models"] == first.summary["models"]


def test_a_wrong_setting_fails_the_run_with_the_stages_own_line(
    cluster: Cluster, kfp: Any, mlflow: Runs, tmp_path: Path
) -> None:
    settings = {"base_model__source": "path", "base_model__path": "/models/none"}
    run = submit(cluster, tmp_path, "wrong", **settings)
    assert run.end() == BAD_INPUT
    assert "/models/none" in run.log.read_text()
    agree(run, kfp, mlflow, "FAILED")


def test_a_run_that_is_terminated_stands_so_everywhere(
    cluster: Cluster, kfp: Any, mlflow: Runs, tmp_path: Path
) -> None:
    run = submit(cluster, tmp_path, "terminated")
    run.pod_of("collect-images")
    kfp.terminate_run(run.id)
    assert run.end() != DONE
    # KFP 2.17.0 ends a terminated run as failed.
    agree(run, kfp, mlflow, "FAILED", "KILLED")
    wait("its pods' end", lambda: not run.at_work(), 180)


def test_a_run_that_runs_out_of_time_is_not_started_again_and_stands_so_everywhere(
    cluster: Cluster, kfp: Any, mlflow: Runs, tmp_path: Path
) -> None:
    run = submit(cluster, tmp_path, "late")
    run.pod_of("prepare-base-model")
    # KFP 2.17 sets no deadline of a whole run; a platform's workflowDefaults may.
    name = cluster.workflow(run.id)["metadata"]["name"]
    deadline = '{"spec": {"activeDeadlineSeconds": 1}}'
    cluster.kubectl("patch", "workflow", name, "--type=merge", "--patch", deadline)
    assert run.end() != DONE
    assert len(run.starts) == 1
    agree(run, kfp, mlflow, "FAILED")
    told = cluster.file(f"/work/runs/{run.id}/tracking/status.json")
    assert "timed out after 1 seconds" in told
