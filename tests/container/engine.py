"""Debian's Docker engine, started by the tests: own socket and data, no bridge, no firewall."""

import contextlib
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

CLIENT = "/usr/bin/docker"
SECONDS_TO_START = 60


@dataclass
class Engine:
    """An engine that answers.

    Attributes:
        place: Folder of its socket and data.
        process: The engine's process.
    """

    place: Path
    process: "subprocess.Popen[bytes]"

    @property
    def host(self) -> str:
        """What DOCKER_HOST has to say."""
        return f"unix://{self.place}/docker.sock"

    def docker(self, *arguments: str) -> str:
        """What the client prints; fails with what it said."""
        done = self.try_docker(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def try_docker(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """The client, however it ends."""
        return subprocess.run(
            [CLIENT, "--host", self.host, *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def stop(self) -> None:
        """End the engine and its containers."""
        running = self.try_docker("ps", "--quiet").stdout.split()
        if running:
            self.try_docker("rm", "--force", *running)
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.process.kill()


def engine_or_reason(place: Path) -> Engine | str:
    """A started engine, or why there is none."""
    if os.getuid() != 0:
        return "no container engine: only root can start one"
    if not shutil.which("dockerd"):
        return "no container engine: Debian's docker.io is not installed"
    for driver in ("overlay2", "vfs"):
        started = _start(place, driver)
        if started is not None:
            return started
    return f"no container engine: dockerd does not start here, see {place}/dockerd.log"


def _start(place: Path, driver: str) -> Engine | None:
    place.mkdir(parents=True, exist_ok=True)
    options = [
        "--iptables=false",
        "--ip6tables=false",
        "--bridge=none",
        f"--storage-driver={driver}",
    ]
    places = [f"--{name}={place / file}" for name, file in _PLACES.items()]
    with (place / "dockerd.log").open("ab") as log:
        process = subprocess.Popen(
            ["dockerd", f"--host=unix://{place}/docker.sock", *options, *places],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    engine = Engine(place, process)
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        if engine.try_docker("info").returncode == 0:
            return engine
        time.sleep(0.3)
    process.kill()
    process.wait()
    return None


_PLACES = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
