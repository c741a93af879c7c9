"""What a Workflow tells of a run: ours or not, how it ended, by what."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.run_closing import error_of, marked_if_cached
from pipelines.workflows import ending_of, first_cause, is_ours, plugin_config, sight_of
from spavl.shards import write_json
from spavl.tracking.launch import Ending
from spavl.tracking.plugin import PluginTree, plugin_tree
from tests.deploy.argo import TREE, compressed, ended, failing, node, reported, terminated, workflow

OOM = "main: OOMKilled (exit code 137)"


def test_the_metadata_tells_whose_run_it_is_and_how_far() -> None:
    going = workflow(run_name="beta 0.2")
    sight = sight_of(going["metadata"])
    assert (sight.run_id, sight.run_name, sight.workflow) == ("run-7", "beta 0.2", "spa-vl-x7")
    assert not sight.completed
    done = sight_of(ended(going, "Succeeded")["metadata"])
    assert (done.completed, done.reported) == (True, False)
    assert sight_of(reported(ended(going, "Failed"))["metadata"]).reported


def test_a_run_without_a_name_has_its_id() -> None:
    metadata = workflow()["metadata"]
    del metadata["annotations"]
    assert sight_of(metadata).run_name == "spa-vl-x7"


def test_ours_are_those_whose_pods_carry_our_label() -> None:
    assert is_ours(workflow())
    assert not is_ours(workflow(ours=False))
    bare = workflow()
    bare["spec"]["arguments"] = {}
    assert not is_ours(bare)
    odd = workflow()
    odd["spec"]["arguments"]["parameters"][1]["value"] = "no JSON"
    assert not is_ours(odd)


@pytest.mark.parametrize(
    ("done", "status", "error"),
    [
        (ended(workflow(), "Succeeded"), "FINISHED", ""),
        (terminated(workflow()), "KILLED", "terminated by a person"),
        (
            ended(workflow(), "Failed", "child 'x' failed", failing(OOM)),
            "FAILED",
            f"train-dpo: killed, since it needed more memory than it may have ({OOM})",
        ),
        (
            ended(workflow(), "Failed", nodes=failing("main: Error (exit code 1)")),
            "FAILED",
            "train-dpo: ended with exit code 1 (main: Error (exit code 1))",
        ),
        (ended(workflow(), "Error", "no such template", {}), "FAILED", "no such template"),
        (ended(workflow(), "Error"), "FAILED", "Error, and Argo does not say why"),
    ],
)
def test_how_a_run_ended(done: dict[str, Any], status: str, error: str) -> None:
    ending = ending_of(done)
    assert (ending.status, ending.error) == (status, error)
    assert ending.time == 1795948200.0  # 10:30
    assert ending_of(done) == ending
    if "nodes" in done["status"]:
        assert ending_of(compressed(done)) == ending


@pytest.mark.parametrize("shutdown", ["Terminate", "Stop"])
def test_a_workflow_that_argo_was_told_to_stop_is_terminated(shutdown: str) -> None:
    done = ended(workflow(), "Failed", f"Stopped with strategy '{shutdown}'")
    done["spec"]["shutdown"] = shutdown
    assert ending_of(done).status == "KILLED"


def test_a_run_that_succeeded_while_it_was_terminated_succeeded() -> None:
    done = ended(workflow(), "Succeeded")
    done["spec"]["activeDeadlineSeconds"] = 0
    assert ending_of(done).status == "FINISHED"


def test_a_run_out_of_its_time_failed_by_that_and_by_no_earlier_error() -> None:
    done = ended(workflow(), "Failed", nodes=failing("Step exceeded its deadline"))
    done["spec"]["activeDeadlineSeconds"] = 1800
    expected = ("FAILED", "timed out after 1800 seconds")
    ending = ending_of(done, "dpo: S3 was away")
    assert (ending.status, ending.error) == expected
    done["status"].pop("nodes")  # Argo may keep them in a database
    assert ending_of(done).error == expected[1]


def test_a_run_that_failed_before_its_time_was_out_did_not_time_out() -> None:
    for deadline, nodes in ((3600, failing(OOM)), (1800, failing("main: Error (exit code 1)"))):
        done = ended(workflow(), "Failed", nodes=nodes)
        done["spec"]["activeDeadlineSeconds"] = deadline
        assert ending_of(done).error.startswith("train-dpo: ")


def test_a_stages_own_error_says_more_than_argo() -> None:
    done = ended(workflow(), "Failed", nodes=failing("main: Error (exit code 1)"))
    assert ending_of(done, "dpo: loss is not finite").error == "dpo: loss is not finite"
    assert ending_of(terminated(workflow()), "dpo: x").error == "terminated by a person"


def test_the_last_attempts_fault_is_told_and_a_mended_one_is_not() -> None:
    assert first_cause(failing("pod deleted", OOM)).endswith(f"({OOM})")
    mended = failing(OOM, "", task="collect-images", at_last="Succeeded")
    assert first_cause(mended) == ""
    failed = failing("pod deleted")
    both = {**mended, **failed}
    assert first_cause(both) == "train-dpo: its pod was deleted (pod deleted)"


def test_a_fault_within_a_dag_that_was_tried_again_and_went_well_is_none() -> None:
    """KFP's defaults try whole DAGs again, too."""
    lost, kept = "w.root.data(0)", "w.root.data(1)"
    made = [
        node("w", "DAG", "Failed"),
        node("w.root.data", "Retry", "Succeeded", "w", children=[lost, kept]),
        node(lost, "DAG", "Failed", "w"),
        node(f"{lost}.collect-images.executor", "Pod", "Failed", lost, message=OOM),
        node(kept, "DAG", "Succeeded", "w"),
        node("w.root.evaluation.score-driver", "Pod", "Error", "w", message="pod deleted"),
    ]
    assert first_cause({each["id"]: each for each in made}).startswith("score: ")


def test_the_first_task_that_failed_is_told() -> None:
    nodes = {**failing(OOM), **failing("pod deleted", task="train-reward-model")}
    late = nodes["w.root.alignment.train-dpo.executor"]
    late["finishedAt"] = "2026-11-29T10:59:00Z"
    assert first_cause(nodes).startswith("train-reward-model: ")


def told(folder: Path, *events: dict[str, Any]) -> None:
    lines = [json.dumps({"stage": "dpo", "time": 1.0, **event}) + "\n" for event in events]
    (folder / "events.jsonl").write_text("".join(lines))


START, FAIL = {"event": "started", "work": "/w/1"}, {"event": "failed", "message": "no data"}


def test_an_error_is_the_reason_unless_a_later_attempt_took_it_away(tmp_path: Path) -> None:
    write_json(tmp_path / "error.json", {"stage": "dpo", "message": "no data"})
    assert error_of(tmp_path) == "dpo: no data"
    told(tmp_path, START, FAIL)
    assert error_of(tmp_path) == "dpo: no data"
    told(tmp_path, START, FAIL, START)  # and then its pod was killed
    assert error_of(tmp_path) == ""
    told(tmp_path, START, FAIL, START, {"event": "done"})
    assert error_of(tmp_path) == ""
    told(tmp_path, START, FAIL, START, {"event": "done"}, {**START, "stage": "ppo"})
    told(tmp_path, START, {"event": "done"}, {**START, "stage": "ppo"}, {**FAIL, "stage": "ppo"})
    assert error_of(tmp_path) == "ppo: no data"


def test_a_run_whose_stages_had_nothing_to_do_is_marked(tmp_path: Path) -> None:
    good = Ending("FINISHED", time=1.0)
    assert marked_if_cached(good, tmp_path).cached
    assert not marked_if_cached(Ending("FAILED", time=1.0), tmp_path).cached
    told(tmp_path, START)
    assert not marked_if_cached(good, tmp_path).cached


def test_the_plugins_variable_is_found_and_read() -> None:
    text = plugin_config(workflow(plugin=json.dumps(TREE)))
    assert plugin_tree(text) == PluginTree("http://mlflow:5000", "7", "parent-of-kfp")
    assert plugin_config(workflow()) == ""


@pytest.mark.parametrize(
    "text",
    ["", "{}", "no JSON", "[]", "null", json.dumps({**TREE, "parentRunId": ""}),
     json.dumps({**TREE, "experimentId": 7})],
)  # fmt: skip
def test_what_the_launcher_would_not_take_names_no_tree(text: str) -> None:
    assert plugin_tree(text) is None


def test_mlflows_client_is_told_of_workspace_and_account() -> None:
    more = {"authType": "kubernetes", "workspace": "team", "insecureSkipVerify": True}
    tree = plugin_tree(json.dumps({**TREE, **more}))
    assert tree is not None
    assert tree.environment() == {
        "MLFLOW_TRACKING_URI": "http://mlflow:5000",
        "MLFLOW_EXPERIMENT_ID": "7",
        "MLFLOW_WORKSPACE": "team",
        "MLFLOW_TRACKING_AUTH": "kubernetes-namespaced",
        "MLFLOW_TRACKING_INSECURE_TLS": "true",
    }
    plain = plugin_tree(json.dumps({**TREE, "authType": "basic-auth"}))
    assert plain is not None
    assert set(plain.environment()) == {"MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID"}
