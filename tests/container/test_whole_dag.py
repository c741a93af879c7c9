"""The whole DAG in containers, not root, read-only, without capabilities and network."""

import json
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from spavl.events import EventReader
from tests.container.engine import Engine
from tests.local.running import TINY, Ended, comparable, spavl_run, start_spavl_run

DOCKER = "--runner=docker"


def told(ended: Ended) -> dict:
    """What may be compared; images hold no checkout, so their runs name no commit."""
    kept = comparable(ended.summary)
    return {**kept, "made_by": {**kept["made_by"], "commit": None}}


def environment(engine: Engine) -> dict[str, str]:
    return {"DOCKER_HOST": engine.host, "SPAVL_CONTAINER_NETWORK": "none"}


@pytest.fixture(scope="module")
def in_subprocesses(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The DAG without containers; it leaves a trained pocket base in the user's cache."""
    ended = spavl_run(tmp_path_factory.mktemp("subprocess"), "run", settings=TINY)
    assert ended.code == 0, ended.output
    return ended


@pytest.fixture(scope="module")
def in_containers(
    in_subprocesses: Ended, images: Engine, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ended, list[dict]]:
    """The DAG in containers, and what the engine knew of each while they ran."""
    out = tmp_path_factory.mktemp("docker")
    process = start_spavl_run(out, "run", DOCKER, settings=TINY, env=environment(images))
    seen: dict[str, dict] = {}
    while process.poll() is None:
        for name in images.try_docker("ps", "--quiet", "--no-trunc").stdout.split():
            if name not in seen:
                looked = images.try_docker("inspect", name)
                if looked.returncode == 0:
                    seen[name] = json.loads(looked.stdout)[0]
        time.sleep(0.2)
    output = process.communicate()[0]
    log = (out / "run" / "log.txt").read_text()[-4000:] if process.returncode else ""
    assert process.returncode == 0, output + log
    return Ended(process.returncode, output, out / "run"), list(seen.values())


def test_containers_say_what_subprocesses_say(
    in_subprocesses: Ended, in_containers: tuple[Ended, list[dict]]
) -> None:
    assert told(in_containers[0]) == told(in_subprocesses)


def test_every_container_was_confined(in_containers: tuple[Ended, list[dict]]) -> None:
    seen = in_containers[1]
    assert len(seen) >= 8, "too few containers were caught running"
    for container in seen:
        host, config = container["HostConfig"], container["Config"]
        assert config["User"].startswith("10001:")
        assert not config["Entrypoint"] or config["Entrypoint"] == [""]
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        assert host["CapAdd"] is None
        assert host["SecurityOpt"] == ["no-new-privileges"]
        assert host["NetworkMode"] == "none"
        assert host["Privileged"] is False


def test_stages_ran_in_the_images_that_their_digests_name(
    in_containers: tuple[Ended, list[dict]],
) -> None:
    used = {container["Config"]["Image"] for container in in_containers[1]}
    names = {image.split(":")[0] for image in used}
    assert names == {"spa-vl/pipeline", "spa-vl/trainer"}
    assert all(len(image.split(":")[1]) == 16 for image in used), used


def test_the_run_is_in_the_store_of_mlflow(in_containers: tuple[Ended, list[dict]]) -> None:
    with sqlite3.connect(in_containers[0].folder.parent / "mlflow.db") as store:
        runs = dict(store.execute("select name, status from runs"))
    assert runs["run"] == "FINISHED"
    assert {"dpo", "ppo", "reward_modeling"} <= set(runs)


def test_a_container_writes_mlflows_sqlite_on_a_mounted_volume(images: Engine) -> None:
    images.docker("volume", "create", "store")
    confined = ["--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL"]
    confined += ["--security-opt=no-new-privileges", "--user=10001:10001"]
    own = [
        "run",
        "--rm",
        "--network=none",
        "--volume=store:/store",
        "--user=0",
        "spa-vl/pipeline:v0.1.0",
    ]
    images.docker(*own, "python3", "-c", "import os; os.chown('/store', 10001, 10001)")
    code = (
        "from mlflow import MlflowClient as C; c = C('sqlite:////store/mlflow.db');"
        "e = c.create_experiment('e', 'file:///store/files'); r = c.create_run(e).info.run_id;"
        "c.log_metric(r, 'loss', 0.5); print(c.get_run(r).data.metrics)"
    )
    arguments = ["run", "--rm", *confined, "--volume=store:/store", "spa-vl/pipeline:v0.1.0"]
    assert "{'loss': 0.5}" in images.docker(*arguments, "python3", "-c", code)


def test_a_killed_command_line_leaves_no_container_and_its_run_goes_on(
    in_containers: tuple[Ended, list[dict]], images: Engine, tmp_path: Path
) -> None:
    given = environment(images)
    process = start_spavl_run(tmp_path, "run", DOCKER, settings=TINY, env=given)
    reader = EventReader(tmp_path / "run")
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        if ("questions", "started") in {(e["stage"], e["event"]) for e in reader.new()}:
            break
        time.sleep(0.05)
    assert images.docker("ps", "--quiet"), "no container was at work"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    time.sleep(3)
    assert not images.docker("ps", "--quiet"), "containers outlived the command line"
    assert ("questions", "done") not in {(e["stage"], e["event"]) for e in reader.new()}
    # The other run's finished work serves this one, which therefore ends soon.
    finished = {"SPAVL_WORK_ROOT": str(in_containers[0].folder.parent / ".work")}
    ended = spavl_run(tmp_path, "run", "--resume", settings={}, env={**given, **finished})
    assert ended.code == 0, ended.output
    assert told(ended) == told(in_containers[0])
