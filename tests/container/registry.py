"""Debian's docker-registry, started by the tests on a free port of this machine."""

import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import requests

PROGRAM = "docker-registry"
SECONDS_TO_START = 30
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIGURATION = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {data}}}}}
http: {{addr: "127.0.0.1:0"}}
"""


@dataclass
class Registry:
    """A registry that answers.

    Attributes:
        address: Host and port.
        log: What it wrote, every request among it.
        process: The registry's process.
    """

    address: str
    log: Path
    process: "subprocess.Popen[bytes]"

    def tags(self, name: str) -> set[str]:
        """All tags of an image."""
        return set(self._get(f"{name}/tags/list").json()["tags"])

    def digest(self, name: str, reference: str) -> str:
        """Digest of the manifest that a tag names."""
        return self._get(f"{name}/manifests/{reference}").headers["Docker-Content-Digest"]

    def manifest(self, name: str, reference: str) -> dict:
        """The manifest that a tag or digest names."""
        return self._get(f"{name}/manifests/{reference}").json()

    def uploads(self) -> list[str]:
        """Digests of the blobs that were uploaded, in order."""
        asked = r'"PUT \S*/blobs/uploads/\S*digest=sha256%3A([0-9a-f]{64})\S* HTTP/1.1" 201'
        return re.findall(asked, self.log.read_text())

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()

    def _get(self, path: str) -> requests.Response:
        url = f"http://{self.address}/v2/{path}"
        answer = requests.get(url, headers={"Accept": MANIFEST}, timeout=30)
        answer.raise_for_status()
        return answer


def registry_or_reason(place: Path) -> Registry | str:
    """A started registry, or why there is none."""
    if not shutil.which(PROGRAM):
        return "no registry: Debian's docker-registry is not installed"
    configuration, log = place / "registry.yaml", place / "registry.log"
    configuration.write_text(CONFIGURATION.format(data=place / "registry"))
    with log.open("wb") as written:
        process = subprocess.Popen(
            [PROGRAM, "serve", str(configuration)], stdout=written, stderr=written
        )
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        if told := re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text()):
            return Registry(told[1], log, process)
        time.sleep(0.1)
    process.kill()
    process.wait()
    return f"no registry: docker-registry does not start here: {log.read_text()[-300:]}"
