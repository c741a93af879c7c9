"""The whole DAG in containers, not root, read-only, without capabilities and network."""

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from spavl.events import EventReader
from tests.container.engine import Engine
from tests.local.running import TINY, Ended, comparable, start_spavl_run

DOCKER = "--runner=docker"


def told(ended: Ended) -> dict:
    """What may be compared; images hold no checkout, so their runs name no commit."""
    kept = comparable(ended.summary)
    return {**kept, "made_by": {**kept["made_by"], "commit": None}}


def environment(engine: Engine) -> dict[str, str]:
    return {"DOCKER_HOST": engine.host, "SPAVL_CONTAINER_NETWORK": "none"}


@pytest.fixture(scope="module")
def in_subprocesses(
    engine: Engine, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Ended:
    """The DAG without containers, run while images are built.

    It leaves a trained pocket base in the user's cache.
    """
    out = tmp_path_factory.mktemp("subprocess")
    process = start_spavl_run(out, "run", settings=TINY)
    try:
        request.getfixturevalue("images")
        output, _ = process.communicate(timeout=1800)
    finally:
        process.kill()  # its steps end with it
    assert process.returncode == 0, output
    return Ended(process.returncode, output, out / "run")


@pytest.fixture(scope="module")
def killed(
    in_subprocesses: Ended, images: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of a run in containers whose command line was killed amid a step."""
    out = tmp_path_factory.mktemp("docker")
    process = start_spavl_run(out, "run", DOCKER, settings=TINY, env=environment(images))
    reader = EventReader(out / "run")
    wait_until(lambda: ("questions", "started") in told_by(reader) or process.poll(), seconds=600)
    assert images.docker("ps", "--quiet"), "no container was at work"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    return out / "run"


@pytest.fixture(scope="module")
def in_containers(killed: Path, images: Engine) -> tuple[Ended, list[dict]]:
    """The same run resumed, and what the engine knew of each container while they ran."""
    given = environment(images)
    process = start_spavl_run(killed.parent, "run", "--resume", settings={}, env=given)
    seen: dict[str, dict] = {}
    with contextlib.closing(docker.DockerClient(base_url=images.host)) as client:
        while process.poll() is None:
            for container in client.containers.list(ignore_removed=True):
                seen.setdefault(container.id, container.attrs)
            time.sleep(0.3)
    output = process.communicate()[0]
    log = (killed / "log.txt").read_text()[-4000:] if process.returncode else ""
    assert process.returncode == 0, output + log
    return Ended(process.returncode, output, killed), list(seen.values())


def told_by(reader: EventReader) -> set[tuple[str, str]]:
    """Stages and their events since the last look."""
    return {(event["stage"], event["event"]) for event in reader.new()}


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def test_containers_end_with_the_command_line_however_it_ends(killed: Path, images: Engine) -> None:
    wait_until(lambda: not images.docker("ps", "--quiet"), seconds=10)
    assert not images.docker("ps", "--quiet"), "containers outlived the command line"
    assert ("questions", "done") not in told_by(EventReader(killed))


def test_a_run_killed_and_resumed_in_containers_says_what_subprocesses_say(
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
