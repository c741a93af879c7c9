"""Runs of pods on a real MLflow, closed by whoever watches their Workflows, however they end."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipelines.run_watch import RunWatch
from spavl.kubernetes_api import Cluster
from spavl.work import Stage, Work, run_stage
from tests.deploy import argo
from tests.service import made_run
from tests.service.looking import history, runs_of
from tests.service.servers import MlflowServer, free_port
from tests.service.workflow_server import Workflows, serving

OOM = "main: OOMKilled (exit code 137)"


@dataclass
class Namespace:
    """A namespace in small: Workflows, a volume with the runs' folders, one who watches."""

    workflows: Workflows
    runs: Path
    account: Path
    client: Any
    _ended: list[threading.Event] = field(default_factory=list)

    @property
    def cluster(self) -> Cluster:
        url = self.workflows.url
        return Cluster(url, "spa-vl", "watch", self.account, patience=1, pause=0.05)

    def watch(self) -> None:
        """Watch from now on."""
        ended, watch = threading.Event(), RunWatch(self.cluster, self.runs, True, seconds=1)
        threading.Thread(target=watch.go, args=[ended.is_set], daemon=True).start()
        self._ended.append(ended)

    def stop(self) -> None:
        for ended in self._ended:
            ended.set()

    def kept(self, run: str, name: str) -> dict[str, Any]:
        """A file that tracking left in a run's folder."""
        try:
            content = json.loads((self.runs / run / "tracking" / name).read_text())
        except (OSError, ValueError):
            return {}
        return dict(content)

    def wait_for(self, holds: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 180
        while not holds():
            assert time.monotonic() < deadline, list(self.runs.rglob("tracking/*"))
            time.sleep(0.1)

    def wait_until_closed(self, run: str) -> None:
        self.wait_for(lambda: self.kept(run, "closed.json"))
        told = self.kept(run, "status.json")
        assert self.kept(run, "closed.json")["time"] == told["time"]

    def wait_until_open(self, run: str) -> None:
        self.wait_for(lambda: self.kept(run, "opening.outcome.json").get("gap") == "")


@pytest.fixture
def namespace(
    server: str, client: Any, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Namespace]:
    monkeypatch.delenv("SPAVL_RUN_FOLDER")
    monkeypatch.setenv("SPAVL_RUNS", str(place.parent))
    place.parent.mkdir(parents=True)
    (tmp_path / "account").mkdir()
    (tmp_path / "account" / "token").write_text("token")
    with serving(Workflows()) as workflows:
        made = Namespace(workflows, place.parent, tmp_path / "account", client)
        yield made
        made.stop()


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Call it to be a pod of a run from now on."""

    def be(run: str, **variables: str) -> None:
        monkeypatch.setenv("SPAVL_RUN_ID", run)
        for name in ("KFP_MLFLOW_CONFIG", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return be


def break_down(message: str) -> None:
    """A stage that fails by an error of its own."""

    def body(work: Work) -> dict[str, Any]:
        raise ValueError(message)

    with pytest.raises(ValueError, match=message):
        run_stage(Stage("dpo", made_run.MODULE, {"message": message}, {}), body)


def test_where_nobody_has_run_anything_yet_there_is_nothing_to_attend_to(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token")
    with serving(Workflows()) as nothing:
        cluster = Cluster(nothing.url, "spa-vl", "watch", tmp_path, patience=1, pause=0.05)
        assert cluster.metadata(cluster.workflows()) == ([], "0")


def test_a_run_is_there_by_its_name_while_it_goes_and_finished_when_it_ends(
    namespace: Namespace, pod: Callable[..., None]
) -> None:
    going = argo.workflow("spa-vl-a", "id-a", run_name="beta 0.2")
    namespace.watch()
    namespace.workflows.put(going)
    namespace.wait_until_open("id-a")
    assert runs_of(namespace.client, "id-a")["beta 0.2"].info.status == "RUNNING"
    assert namespace.kept("id-a", "run.json")["workflow"] == "spa-vl-a"
    pod("id-a")
    _, digest = made_run.data()
    made_run.train(digest)
    made_run.report(namespace.runs / "id-a")
    namespace.workflows.put(argo.ended(going, "Succeeded"))
    namespace.wait_until_closed("id-a")
    runs = runs_of(namespace.client, "id-a")
    assert set(runs) == {"beta 0.2", "data", "dpo"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    parent = runs["beta 0.2"]
    assert runs["dpo"].data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert parent.info.end_time == 1795948200000  # as Argo says
    assert parent.data.metrics["dpo.harm_eval_usr"] == 0.4  # its pod was gone before
    assert "spavl.cached" not in parent.data.tags
    assert namespace.kept("id-a", "status.json")["status"] == "FINISHED"


def test_runs_end_as_their_workflows_say_and_their_folders_know(
    namespace: Namespace, pod: Callable[..., None]
) -> None:
    """What ended while nobody watched is closed as well."""
    endings = {
        "failed": argo.ended(
            argo.workflow("w-f", "failed"), "Failed",
            nodes=argo.failing("main: Error (exit code 1)"),
        ),
        "killed": argo.ended(argo.workflow("w-o", "killed"), "Failed", nodes=argo.failing(OOM)),
        "ended": argo.terminated(argo.workflow("w-t", "ended")),
        "cached": argo.ended(argo.workflow("w-c", "cached"), "Succeeded"),
    }  # fmt: skip
    pod("failed")
    break_down("the tower fell")
    for workflow in endings.values():
        namespace.workflows.put(workflow)
    namespace.workflows.put(argo.ended(argo.workflow("w-x", "foreign", ours=False), "Succeeded"))
    namespace.watch()
    found = {}
    for run in endings:
        namespace.wait_until_closed(run)
        found[run] = runs_of(namespace.client, run)["my run"]
        kept = namespace.kept(run, "status.json")
        assert kept["status"] == found[run].info.status
        assert kept["error"] == found[run].data.tags.get("spavl.error", "")
    told = {
        run: (each.info.status, each.data.tags.get("spavl.error")) for run, each in found.items()
    }
    assert told == {
        "failed": ("FAILED", "dpo: the tower fell"),
        "killed": (
            "FAILED", f"train-dpo: killed, since it needed more memory than it may have ({OOM})"
        ),
        "ended": ("KILLED", "terminated by a person"),
        "cached": ("FINISHED", None),
    }  # fmt: skip
    assert found["cached"].data.tags["spavl.cached"] == "true"
    assert "spavl.cached" not in found["failed"].data.tags
    assert not (namespace.runs / "foreign").exists()
    assert runs_of(namespace.client, "foreign") == {}


def test_a_stage_whose_pod_was_lost_ends_with_its_run(
    namespace: Namespace, pod: Callable[..., None]
) -> None:
    pod("lost")
    code = (
        "import os; from tests.service import made_run; from spavl.work import *\n"
        "run_stage(Stage('dpo', made_run.MODULE, {'lost': 1}, {}), lambda work: os._exit(137))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 137
    namespace.workflows.put(argo.terminated(argo.workflow("w-l", "lost")))
    namespace.watch()
    namespace.wait_until_closed("lost")
    runs = runs_of(namespace.client, "lost")
    assert {name: run.info.status for name, run in runs.items()} == {
        "my run": "KILLED",
        "dpo": "KILLED",
    }


def test_a_run_that_kfp_tries_again_is_open_again_and_closed_anew(namespace: Namespace) -> None:
    going = argo.workflow("w-r", "retried")
    namespace.workflows.put(argo.ended(going, "Failed", nodes=argo.failing(OOM)))
    namespace.watch()
    namespace.wait_until_closed("retried")

    def told() -> tuple[str, bool]:
        run = runs_of(namespace.client, "retried")["my run"]
        return str(run.info.status), "spavl.error" in run.data.tags

    assert told() == ("FAILED", True)
    namespace.workflows.put(going)
    namespace.wait_for(lambda: told() == ("RUNNING", False))
    assert not namespace.kept("retried", "status.json")
    namespace.workflows.put(argo.ended(going, "Succeeded", at="2026-11-29T11:00:00Z"))
    namespace.wait_until_closed("retried")
    assert told() == ("FINISHED", False)


def test_a_deleted_run_is_closed_by_what_its_folder_knows(namespace: Namespace) -> None:
    for run in ("deleted", "missed"):
        namespace.workflows.put(argo.workflow(f"w-{run}", run))
    namespace.watch()
    for run in ("deleted", "missed"):
        namespace.wait_until_open(run)
    namespace.workflows.delete("w-deleted")
    namespace.wait_until_closed("deleted")
    told = runs_of(namespace.client, "deleted")["my run"]
    assert (told.info.status, told.data.tags["spavl.error"]) == (
        "KILLED",
        "its Workflow was deleted",
    )
    namespace.stop()
    made_run.report(namespace.runs / "missed")
    namespace.workflows.things.pop("w-missed")  # while nobody watched
    namespace.watch()
    namespace.wait_until_closed("missed")
    assert runs_of(namespace.client, "missed")["my run"].info.status == "FINISHED"


def test_dropped_connections_errors_and_a_forgotten_version_lose_nothing(
    namespace: Namespace,
) -> None:
    held = namespace.workflows
    held.failures += [503, 429]
    namespace.watch()
    namespace.wait_for(lambda: held.watches)
    for number in range(3):
        held.drop.set()
        held.put(argo.ended(argo.workflow(f"w-{number}", f"run-{number}"), "Succeeded"))
        namespace.wait_until_closed(f"run-{number}")

    def lists() -> int:
        return len([query for _, query in held.calls if set(query) == {"labelSelector"}])

    before = lists()
    held.things["w-3"] = argo.ended(argo.workflow("w-3", "run-3"), "Failed")  # never told
    held.forgets = 1
    namespace.wait_until_closed("run-3")
    assert lists() > before
    assert {query["allowWatchBookmarks"] for query in held.watches} == {"true"}


def test_killed_in_the_middle_it_goes_on_where_it_was_and_says_nothing_twice(
    namespace: Namespace, tmp_path: Path, pod: Callable[..., None]
) -> None:
    """kill -9 while MLflow is away: what was seen is closed by the next one."""
    code = (
        "import sys; from pathlib import Path; from spavl.kubernetes_api import Cluster\n"
        "from pipelines.run_watch import RunWatch\n"
        "cluster = Cluster(sys.argv[1], 'spa-vl', 'watch', Path(sys.argv[2]), 5, 0.1)\n"
        "RunWatch(cluster, Path(sys.argv[3]), True, 1).go()"
    )
    pod("broken")
    _, digest = made_run.data()
    made_run.train(digest)
    namespace.workflows.put(argo.ended(argo.workflow("w-b", "broken"), "Succeeded"))
    command = [sys.executable, "-c", code, namespace.workflows.url, str(namespace.account)]
    away = os.environ | {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    process = subprocess.Popen([*command, str(namespace.runs)], env=away, start_new_session=True)
    namespace.wait_for(lambda: namespace.kept("broken", "status.json"))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not namespace.kept("broken", "closed.json")
    namespace.watch()
    namespace.wait_until_closed("broken")
    namespace.stop()
    first = runs_of(namespace.client, "broken")
    namespace.watch()  # and once more, when all is done
    calls = len(namespace.workflows.calls)
    namespace.wait_for(lambda: len(namespace.workflows.watches) > 1)
    namespace.wait_for(lambda: len(namespace.workflows.calls) > calls + 3)
    again = runs_of(namespace.client, "broken")
    assert set(again) == {"my run", "data", "dpo"}
    for name, run in again.items():
        assert run.info.status == "FINISHED"
        assert run.info.end_time == first[name].info.end_time
    assert len(history(namespace.client, again["dpo"], "loss")) == made_run.STEPS


def test_an_mlflow_that_is_away_is_asked_again_until_it_is_there(
    mortal_server: MlflowServer, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setattr("spavl.tracking.launch.PATIENCE_SECONDS", 1.0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mortal_server.uri)
    mortal_server.kill()
    namespace.workflows.put(argo.ended(argo.workflow("w-1", "waits"), "Failed"))
    namespace.watch()
    namespace.wait_for(lambda: namespace.kept("waits", "run.outcome.json").get("gap"))
    assert not namespace.kept("waits", "closed.json")
    namespace.workflows.delete("w-1")  # Argo's time to keep it is over
    mortal_server.start()
    namespace.wait_until_closed("waits")
    assert runs_of(MlflowClient(mortal_server.uri), "waits")["my run"].info.status == "FAILED"


class KfpTree:
    """The tree that KFP's plugin makes of a run: its parent, runs of DAGs, runs of tasks."""

    def __init__(self, client: Any, uri: str, run: str) -> None:
        self.client = client
        self.experiment = client.create_experiment(f"of-{run}")
        tags = {"kfp.pipeline_run_id": run}
        self.parent = client.create_run(self.experiment, tags=tags, run_name="my run").info.run_id
        self.dag = self.task("alignment", self.parent)
        self.config = json.dumps(
            {
                "endpoint": uri, "parentRunId": self.parent, "experimentId": self.experiment,
                "authType": "none", "timeout": "30s",
            }
        )  # fmt: skip

    def task(self, name: str, parent: str) -> str:
        tags = {"mlflow.parentRunId": parent}
        made = self.client.create_run(self.experiment, tags=tags, run_name=name)
        return str(made.info.run_id)

    def close(self, status: str, *runs: str) -> None:
        """What KFP does when the run has ended."""
        for run in (self.parent, *runs):
            self.client.set_terminated(run, status)

    def runs(self) -> dict[str, Any]:
        """All runs of the experiment by id."""
        found = self.client.search_runs([self.experiment])
        return {run.info.run_id: run for run in found}


@pytest.mark.parametrize("injects", [True, False])
def test_with_kfps_plugin_there_is_one_tree_and_it_ends_as_the_run_did(
    injects: bool, namespace: Namespace, server: str, pod: Callable[..., None]
) -> None:
    run = f"plugin-{injects}"
    tree = KfpTree(namespace.client, server, run)
    before = set(tree.runs())
    going = argo.workflow("w-p", run, plugin=tree.config)
    namespace.workflows.put(going)
    namespace.watch()
    namespace.wait_until_open(run)
    task = tree.task("train-dpo", tree.dag)
    given = {"MLFLOW_RUN_ID": task, "MLFLOW_EXPERIMENT_ID": tree.experiment} if injects else {}
    pod(run, KFP_MLFLOW_CONFIG=tree.config, **given)
    made_run.train("no-data-set-of-this-run")
    mine = {key: one for key, one in tree.runs().items() if "loss" in one.data.metrics}
    (stage,) = mine
    assert (stage == task) == injects
    parents = {one.info.run_id: one.data.tags.get("mlflow.parentRunId") for one in mine.values()}
    assert parents[stage] == (tree.dag if injects else tree.parent)
    assert len(history(namespace.client, mine[stage], "loss")) == made_run.STEPS
    assert tree.runs()[tree.parent].info.status == "RUNNING"  # KFP closes what it opened
    assert tree.runs()[task].info.status == "RUNNING"

    done = argo.terminated(going)
    namespace.workflows.put(done)
    namespace.wait_until_closed(run)
    tree.close("FAILED", task)  # so it takes what a person ended
    namespace.workflows.put(argo.reported(done))
    namespace.wait_for(lambda: namespace.kept(run, "closed.json")["settled"])
    found = tree.runs()
    assert found[tree.parent].info.status == "KILLED"
    assert found[tree.parent].data.tags["spavl.error"] == "terminated by a person"
    assert found[stage].info.status == "FINISHED"  # the stage itself was done
    assert set(found) == before | {task, stage}
    others = runs_of(namespace.client, run)
    assert {one.info.run_id for one in others.values()} == {tree.parent, stage}
