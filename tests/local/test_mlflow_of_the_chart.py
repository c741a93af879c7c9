"""A run on this machine that a cluster's MLflow follows: the chart's server, named as in a pod."""

from pathlib import Path

from tests.local.running import Ended, comparable, spavl_run
from tests.service.chart_mlflow import SERVICE, bucket, environment, started
from tests.service.looking import runs_in


def test_a_run_is_in_mlflow_by_its_service_name_and_its_files_are_in_s3(
    small_run: Ended, tmp_path: Path
) -> None:
    """The work is kept from the small run; the follower brings all of it to the new server."""
    for name in ("s3", "server", "resolver"):
        (tmp_path / name).mkdir()
    with bucket(tmp_path / "s3") as s3, started(s3, tmp_path / "server") as server:
        given = environment(server, tmp_path / "resolver")
        ended = spavl_run(small_run.folder.parent, "tracked", env=given)
        assert ended.code == 0, ended.output
        assert f"http://{SERVICE}:{server.port}/#/experiments/" in ended.output
        assert "not in MLflow yet" not in ended.output

        from mlflow import MlflowClient

        runs = runs_in(MlflowClient(server.store), ended.folder)
        parent = runs["tracked"]
        assert parent.info.status == "FINISHED"
        figure = ended.summary["models"]["dpo"]["harm_eval_usr"]["value"]
        assert parent.data.metrics["dpo.harm_eval_usr"] == figure
        assert {"collection", "dpo", "ppo", "reward_modeling", "scoring"} <= set(runs)
        assert comparable(ended.summary) == comparable(small_run.summary)
        kept = server.files_of(parent.info.run_id)["report.html"]
        report = s3[1].get_object("spa-vl", kept).read()
        assert report == (ended.folder / "report.html").read_bytes()
    assert not list(ended.folder.rglob("mlflow-artifacts"))
