"""A run on a real MLflow server: what is there, that nothing is there twice, and hostile values."""

import json
import math
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spavl.tracking.launch import FollowerProcess, bring_now, read_outcome, tracked
from spavl.work import Stage, Work, run_stage
from tests.service import made_run
from tests.service.looking import artifacts, history, runs_in, runs_of
from tests.service.servers import MlflowServer


@dataclass(frozen=True)
class Tracked:
    """A whole run that was tracked."""

    folder: Path
    work: Path
    runs: dict[str, Any]


@pytest.fixture(scope="module")
def whole(shared_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """Tracked once, looked at by many."""
    from mlflow import MlflowClient

    root = tmp_path_factory.mktemp("whole")
    folder, work = root / "one", root / "work"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", shared_server.uri)
        patch.setenv("SPAVL_WORK_ROOT", str(work))
        patch.setenv("SPAVL_RUN_FOLDER", str(folder))
        with tracked(folder):
            made_run.whole_run(folder)
    assert read_outcome(folder).gap == "", (folder / "tracking" / "log.txt").read_text()
    return Tracked(folder, work, runs_in(MlflowClient(shared_server.uri), folder))


@pytest.fixture
def run(whole: Tracked) -> dict[str, Any]:
    return dict(whole.runs)


def test_a_run_is_there_with_its_nested_runs(whole: Tracked, server: str) -> None:
    run = dict(whole.runs)
    parent = run.pop("one")
    assert set(run) == {"data", "dpo", "answers-base", "answers-dpo", "scoring"}
    for name, nested in run.items():
        assert nested.info.status == "FINISHED", name
        assert nested.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert "cached_from" not in nested.data.tags
    assert parent.info.status == "FINISHED"
    page = f"{server}/#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}"
    assert read_outcome(whole.folder).link == page


def test_the_parent_compares(run: dict[str, Any], client: Any) -> None:
    parent = run["one"]
    assert parent.data.params["dpo.beta"] == "0.1"
    assert parent.data.metrics["dpo.harm_eval_usr"] == 0.4
    assert parent.data.metrics["reward_model.pair_accuracy"] == 0.9
    assert parent.data.tags["spavl.commit"] == "c0ffee"
    assert "| harm eval usr | 40.0 [30.0, 50.0]" in parent.data.tags["mlflow.note.content"]
    assert {"report.html", "summary.json", "plots", "tables"} <= artifacts(client, parent)


def test_the_runs_table_begins_with_what_a_run_is_judged_by(run: dict[str, Any]) -> None:
    parent = run["one"].data
    assert parent.metrics["harm"] == 0.4
    bounds = [parent.metrics[f"dpo.harm_eval_usr.{key}"] for key in ("low", "high", "n")]
    assert bounds == [0.3, 0.5, 10]
    assert parent.tags["decision"] == "dpo promoted"
    assert parent.tags["mlflow.source.git.commit"] == "c0ffee"
    assert parent.tags["mlflow.user"]
    first, _, caveat = parent.tags["mlflow.note.content"].splitlines()[:3]
    assert first.startswith("**Unsafe answers did not clearly change")
    assert caveat.startswith("A drawn world")
    (given,) = run["one"].inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("train", "7ra1n")


def test_a_training_has_few_metrics_and_a_table_of_its_figures(
    run: dict[str, Any], client: Any
) -> None:
    metrics = run["dpo"].data.metrics
    assert {"loss", "rewards/accuracies", "result/pair_accuracy", "seconds"} <= set(metrics)
    assert not [name for name in metrics if "by_class" in name or "final" in name]
    assert len(metrics) <= 40
    place = client.download_artifacts(run["dpo"].info.run_id, "tables/result.json")
    table = json.loads(Path(place).read_text())
    assert table["columns"] == ["what", "value", "low", "high", "n"]
    assert ["by_class, class 7", 0.4, 0.3, 0.5, 10] in table["data"]
    assert len(table["data"]) == 1 + 53


def test_curves_come_with_their_steps_and_times(whole: Tracked, client: Any) -> None:
    run = whole.runs
    expected = [(step, pytest.approx(1 / step)) for step in range(1, made_run.STEPS + 1)]
    assert history(client, run["dpo"], "loss") == expected
    told = json.loads((whole.folder / "stages" / "dpo.json").read_text())["work"]
    first = json.loads((Path(told) / "curves.jsonl").read_text().splitlines()[0])
    times = [m.timestamp for m in client.get_metric_history(run["dpo"].info.run_id, "loss")]
    assert min(times) == round(first["time"] * 1000)


def test_inputs_name_digest_and_rows(run: dict[str, Any]) -> None:
    (given,) = run["dpo"].inputs.dataset_inputs
    assert given.dataset.name == "data/rows"
    assert json.loads(given.dataset.profile) == {"num_rows": 3}
    assert run["dpo"].data.params["input.train"].startswith(given.dataset.digest)
    assert {tag.value for tag in given.tags} == {"train"}


def test_answers_and_verdicts_are_tables(run: dict[str, Any], client: Any) -> None:
    import mlflow

    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])  # load_table searches there only
    info = run["scoring"].info
    table = client.load_table(info.experiment_id, "tables/harm_eval.json", [info.run_id])
    rows = table[["item", "model", "answer", "outcome", "score"]].to_numpy().tolist()
    assert rows == [
        ["item-0", "base", "answer 0 of base", "unsafe", 1.0],
        ["item-0", "dpo", "answer 0 of dpo", "refused", 0.0],
        ["item-2", "base", "answer 2 of base", "unsafe", 1.0],
        ["item-2", "dpo", "answer 2 of dpo", "refused", 0.0],
    ]


def test_the_champion_is_registered_with_its_files_and_figures(
    run: dict[str, Any], client: Any
) -> None:
    version = client.get_model_version_by_alias("spa-vl", "champion")
    assert version.source == f"runs:/{version.run_id}/champion"
    assert version.tags["spavl.digest"] == "m0de1"
    assert version.description == "With DPO, harm fell. A drawn world."
    assert version.tags["harm_eval_usr"] == "40.0 [30.0, 50.0] (n=10, pocket)"
    assert artifacts(client, run["one"], "champion") == {
        "champion/model.json",
        "champion/model.safetensors",
    }
    assert "model/model.json" in artifacts(client, run["dpo"], "model")


def test_an_older_promotion_does_not_take_the_alias_back(client: Any, place: Path) -> None:
    _, digest = made_run.data()
    model = made_run.train(digest)
    for number, time in ((2, 2e9), (1, 1e9)):
        folder = place.parent / f"promotion-{number}"
        folder.mkdir(parents=True)
        made_run.promote(folder, model, f"d1gest-{number}", time)
        assert bring_now(folder).gap == ""
    version = client.get_model_version_by_alias("spa-vl", "champion")
    assert version.tags["spavl.digest"] == "d1gest-2"


def test_bringing_a_run_again_changes_nothing(whole: Tracked, client: Any) -> None:
    run, place = whole.runs, whole.folder
    for file in (place / "tracking").glob("*.position.json"):
        file.unlink()  # as if the follower had died before it could keep them
    assert bring_now(place).gap == ""
    again = runs_in(client, place)
    assert set(again) == set(run)
    assert again["one"].data.params == run["one"].data.params
    assert len(history(client, again["dpo"], "loss")) == made_run.STEPS


def test_a_stage_served_from_cache_has_a_run_with_its_curves(
    whole: Tracked, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, second = whole.runs, whole.folder.parent / "two"
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(whole.work))
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(second))
    with tracked(second):
        made_run.whole_run(second)
    cached = runs_in(client, second)["dpo"]
    assert cached.data.tags["cached_from"] == run["dpo"].info.run_id
    assert len(history(client, cached, "loss")) == made_run.STEPS
    figure = "result/pair_accuracy"
    assert cached.data.metrics[figure] == run["dpo"].data.metrics[figure] == 0.4


def test_a_failed_run_is_there_as_far_as_it_came(client: Any, place: Path) -> None:
    def body(work: Work) -> dict[str, Any]:
        work.log({"loss": 0.5}, 1)
        raise ValueError("the tower fell")

    with pytest.raises(ValueError, match="tower"), tracked(place):
        run_stage(Stage("dpo", made_run.MODULE, {"beta": 0.1}, {}), body)
    runs = runs_in(client, place)
    assert runs["one"].info.status == runs["dpo"].info.status == "FAILED"
    assert runs["dpo"].data.tags["spavl.error"] == "the tower fell"
    assert runs["dpo"].data.params["beta"] == "0.1"
    assert history(client, runs["dpo"], "loss") == [(1, 0.5)]


def test_a_resumed_run_goes_on_in_its_runs(client: Any, place: Path) -> None:
    stage = Stage("dpo", made_run.MODULE, {"beta": 0.2}, {})

    def interrupted(work: Work) -> dict[str, Any]:
        for step in range(1, 6):
            work.log({"loss": 1 / step}, step)
        raise KeyboardInterrupt

    def resumed(work: Work) -> dict[str, Any]:
        (work.folder / "curves.jsonl").write_text("")  # as from a checkpoint at step 0
        for step in range(1, 9):
            work.log({"loss": 1 / step}, step)
        return {}

    with pytest.raises(KeyboardInterrupt), tracked(place):
        run_stage(stage, interrupted)
    assert runs_in(client, place)["one"].info.status == "KILLED"
    with tracked(place):
        run_stage(stage, resumed)
    runs = runs_in(client, place)
    assert set(runs) == {"one", "dpo"}
    assert runs["one"].info.status == runs["dpo"].info.status == "FINISHED"
    assert [step for step, _ in history(client, runs["dpo"], "loss")] == list(range(1, 9))


def test_hostile_values_break_nothing(client: Any, place: Path) -> None:
    names = ["a//b", "/rooted", "../above", "späße & more", "x" * 300, "semi;colon", " ", "end/"]

    def body(work: Work) -> dict[str, Any]:
        work.log({"nan": math.nan, "inf": math.inf, "loss": 1.0}, 1)
        work.log({f"m{number}": float(number) for number in range(2500)}, 2)
        work.log(dict.fromkeys(names, 3.0), 3)
        work.log({"loss": 0.5}, 4)
        with (work.folder / "curves.jsonl").open("a") as stream:
            stream.write('{"step": "no"}\nnot json\n[1]\n{"step": 5, "loss": "text"}\n')
        return {"huge": 10**400, "name": "n"}

    settings = {"long": "y" * 7000, "nul": "a\0b", "none": None, "many": list(range(5000))}
    settings |= {f"p{number}": number for number in range(250)}
    with tracked(place):
        run_stage(Stage("dpo", made_run.MODULE, settings, {}), body)
    assert read_outcome(place).gap == ""
    run = runs_in(client, place)["dpo"]
    assert run.info.status == "FINISHED"
    assert math.isnan(run.data.metrics["nan"])
    assert run.data.metrics["m2499"] == 2499.0
    assert history(client, run, "loss") == [(1, 1.0), (4, 0.5)]
    assert len(run.data.params["long"]) == 6000
    assert len([name for name in run.data.params if name.startswith("p")]) == 250
    assert len([value for value in run.data.metrics.values() if value == 3.0]) >= len(names)


def test_two_pods_at_once_end_with_one_parent(
    client: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spavl.tracking.store import Store

    stores = [Store(os.environ["MLFLOW_TRACKING_URI"], "pods") for _ in range(4)]
    together = threading.Barrier(len(stores))

    def open_parent(store: Store) -> None:
        together.wait()
        store.parent("pods")

    threads = [threading.Thread(target=open_parent, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({store.parent("pods") for store in stores}) == 1
    assert set(runs_of(client, "pods")) == {"pods"}


def test_stages_in_pods_follow_themselves(
    client: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPAVL_RUN_FOLDER")
    monkeypatch.setenv("SPAVL_RUNS", str(place.parent))
    monkeypatch.setenv("SPAVL_RUN_ID", "pod-run")
    _, digest = made_run.data()
    made_run.train(digest)
    runs = runs_of(client, "pod-run")
    assert runs["dpo"].info.status == "FINISHED"
    assert runs["pod-run"].info.status == "RUNNING"
    assert runs["dpo"].data.tags["mlflow.parentRunId"] == runs["pod-run"].info.run_id
    assert len(history(client, runs["dpo"], "loss")) == made_run.STEPS


def test_a_pod_takes_the_run_that_kfp_gives_it(
    client: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = client.create_experiment("kfp")
    parent = client.create_run(experiment).info.run_id
    given = client.create_run(experiment, tags={"mlflow.parentRunId": parent}).info.run_id
    monkeypatch.delenv("SPAVL_RUN_FOLDER")
    monkeypatch.setenv("SPAVL_RUNS", str(place.parent))
    monkeypatch.setenv("SPAVL_RUN_ID", "kfp-run")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    made_run.train("no-data-set-of-this-run")
    assert len(history(client, client.get_run(given), "loss")) == made_run.STEPS
    assert client.get_run(given).info.status == "RUNNING"  # KFP closes what it opened
    assert len(client.search_runs([experiment])) == 2


def test_followers_that_open_a_new_local_store_at_once_all_live(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    made_run.whole_run(place)
    folders = [tmp_path / "runs" / name for name in ("a", "b", "c")]
    for folder in folders:
        folder.mkdir()
        (folder / "events.jsonl").write_text((place / "events.jsonl").read_text())
    processes = [FollowerProcess(folder, folder.name, folder.name) for folder in folders]
    for process in processes:
        outcome = process.end()
        assert outcome.link.startswith(
            f"mlflow ui --backend-store-uri {uri}  # then http://127.0.0.1:5000/#/"
        )
    for folder in folders:
        assert "dpo" in runs_of(MlflowClient(uri), folder.name)
