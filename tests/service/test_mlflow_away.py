"""An MLflow that goes, comes back, or never answers: the run goes on, and the gap is told."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from spavl.tracking import launch
from spavl.tracking.launch import bring_now, read_outcome, tracked
from spavl.work import Stage, Work, run_stage
from tests.service import made_run
from tests.service.looking import history, runs_in
from tests.service.servers import MlflowServer, answering, free_port, silent

STEPS = 30


def train_while(server: MlflowServer, comes_back: bool) -> None:
    """A training in whose middle the server is killed with kill -9."""
    from mlflow import MlflowClient

    client = MlflowClient(server.uri)

    def body(work: Work) -> Mapping[str, Any]:
        for step in range(1, STEPS + 1):
            work.log({"loss": 1 / step}, step)
            if step == STEPS // 3:
                _wait_until(lambda: "loss" in _metrics(client))
                server.kill()
            if step == 2 * STEPS // 3 and comes_back:
                _wait_until(lambda: "does not answer" in _events(os.environ["SPAVL_RUN_FOLDER"]))
                server.start()
        return {"work": str(work.folder)}

    run_stage(Stage("dpo", made_run.MODULE, {"comes_back": comes_back}, {}), body)


def _metrics(client: Any) -> set[str]:
    """Metrics of this run's training that the server has."""
    run = runs_in(client, Path(os.environ["SPAVL_RUN_FOLDER"])).get("dpo")
    return set(run.data.metrics) if run else set()


def _events(folder: str) -> str:
    return (Path(folder) / "events.jsonl").read_text()


def _wait_until(holds: Any, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_killed_in_mid_run_and_started_again_the_metrics_are_complete(
    mortal_server: MlflowServer, place: Path
) -> None:
    from mlflow import MlflowClient

    with tracked(place):
        train_while(mortal_server, comes_back=True)
    client = MlflowClient(mortal_server.uri)
    runs = runs_in(client, place)
    assert set(runs) == {"one", "dpo"}
    assert [step for step, _ in history(client, runs["dpo"], "loss")] == list(range(1, STEPS + 1))
    assert runs["one"].info.status == "FINISHED"
    assert read_outcome(place).gap == ""
    assert "MLflow answers again" in _events(str(place))


def test_never_back_the_run_ends_well_and_the_gap_is_told_and_completed_later(
    mortal_server: MlflowServer, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setattr(launch, "PATIENCE_SECONDS", 1.0)
    with tracked(place):
        train_while(mortal_server, comes_back=False)
    assert (place / "stages" / "dpo.json").exists()
    gap = read_outcome(place).gap
    assert gap.startswith(f"dpo: {STEPS - STEPS // 3} steps, result")
    told = [json.loads(line) for line in _events(str(place)).splitlines()]
    notes = [event["text"] for event in told if event["event"] == "note"]
    assert any(gap in note and "spavl track" in note for note in notes)

    mortal_server.start()
    assert bring_now(place).gap == ""
    client = MlflowClient(mortal_server.uri)
    runs = runs_in(client, place)
    assert len(history(client, runs["dpo"], "loss")) == STEPS
    assert runs["one"].info.status == "FINISHED"


def spavl(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", *arguments]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=60
    )


WANTS_A_PASSWORD = answering(401, b"You are not authenticated.", {"WWW-Authenticate": "Basic"})


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (WANTS_A_PASSWORD, "MLflow wants a user and password"),
        (answering(403, b"Invalid Host header"), "MLflow refuses to be called by this name"),
        (answering(200, b"<html>A wiki</html>"), "something that is no MLflow answers"),
        (answering(404, b"no such page"), "something that is no MLflow answers"),
        (answering(502, b"bad gateway"), "no MLflow answers: status 502"),
        (silent(), "no MLflow answers"),
    ],
)
def test_what_is_no_usable_mlflow_stops_the_run_before_it_starts(
    there: AbstractContextManager[str], said: str, tmp_path: Path
) -> None:
    with there as uri:
        secret = uri.replace("://", "://alice:s3cret@")
        start = time.monotonic()
        ended = spavl("run", f"--out={tmp_path}/runs", MLFLOW_TRACKING_URI=secret)
    assert time.monotonic() - start < 30
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith(f"spavl: {said}")
    assert "MLFLOW_TRACKING" in line or "--allowed-hosts" in line
    assert "s3cret" not in ended.stderr + ended.stdout
    assert "***@127.0.0.1" in line
    assert not (tmp_path / "runs").exists()


def test_a_dead_port_stops_the_run_before_it_starts(tmp_path: Path) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    ended = spavl("run", f"--out={tmp_path}/runs", MLFLOW_TRACKING_URI=uri)
    assert ended.returncode == 2
    assert ended.stderr.strip() == (
        f"spavl: no MLflow answers: [Errno 111] Connection refused ({uri}): "
        "start it, or mend or unset MLFLOW_TRACKING_URI"
    )


def test_a_command_line_that_is_killed_takes_the_follower_with_it(
    place: Path, tmp_path: Path
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from spavl.tracking.launch import tracked\n"
        "with tracked(Path(sys.argv[1])) as _:\n    print('on', flush=True); time.sleep(60)"
    )
    place.mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(place)],
        env=os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    _wait_until(lambda: bool(_followers(place)))
    process.kill()
    process.wait()
    _wait_until(lambda: not _followers(place), 30)


def _followers(folder: Path) -> list[int]:
    import psutil

    told = ((each.pid, each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"]))
    return [pid for pid, line in told if str(folder) in line and "spavl.tracking.following" in line]
