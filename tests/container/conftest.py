"""An engine of the tests' own, with our images built in it; Debian's docker.io, started by root.

Where no image can be pulled, bases are made of this machine's Python. `SPAVL_ENGINE` names a folder
that keeps the engine's data between sessions.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.image_tags import image_tags
from tests.container.base_image import import_base
from tests.container.engine import CLIENT, Engine, engine_or_reason

ROOT = Path(__file__).resolve().parents[2]
IN_SITE_PACKAGES = {"pipeline": (), "trainer": ("torch",)}


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that answers; the session is skipped where none can."""
    kept = os.environ.get("SPAVL_ENGINE")
    place = Path(kept) if kept else tmp_path_factory.mktemp("engine")
    started = engine_or_reason(place)
    if isinstance(started, str):
        pytest.skip(started)
    (place / "pip.conf").write_text(pip_configuration())
    yield started
    started.stop()
    if not kept:
        # 300,000 files take minutes to remove; nobody has to wait for that.
        remove = ["nice", "rm", "-rf", "--one-file-system", str(place)]
        subprocess.Popen(remove, start_new_session=True, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def images(engine: Engine) -> Engine:
    """The engine with `pipeline` and a trainer for CPUs, tagged by make images' own script."""

    def make(image: str) -> str:
        if not engine.docker("images", "--quiet", base_of(image)):
            lock = ROOT / "images" / image / "requirements.lock"
            docker = [CLIENT, "--host", engine.host]
            import_base(docker, base_of(image), lock, IN_SITE_PACKAGES[image])
        return build(engine, image)

    with ThreadPoolExecutor() as side_by_side:
        list(side_by_side.map(make, IN_SITE_PACKAGES))
    return engine


def build(engine: Engine, image: str, tree: Path = ROOT) -> str:
    """Build and tag an image as `make images` does; what the build printed."""
    base = base_of(image)
    given = {"BASE_IMAGE": base, "CUDA_IMAGE": base, "CUDA_OPS": "0"}
    names = given if image == "trainer" else ["BASE_IMAGE"]
    arguments = [f"--build-arg {name}={given[name]}" for name in names]
    environment = {
        **os.environ,
        "DOCKER_HOST": engine.host,
        "ENGINE": CLIENT,
        "PYTHON": sys.executable,
        "PYTHONPATH": str(tree),
        "PIP_CONF": str(engine.place / "pip.conf"),
        "ARGUMENTS": " ".join(["--network=host --progress=plain", *arguments]),
    }
    start = time.monotonic()
    done = subprocess.run(
        ["images/images.sh", "build", image],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    print(f"{image}: built in {time.monotonic() - start:.0f} s")
    return done.stdout


def pip_configuration() -> str:
    """The machine's package index and certificates, as builds need them."""
    lines = ["[global]"]
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.exists():  # the bases have the same file
        lines.append(f"cert = {certificates}")
    index = os.environ.get("PIP_INDEX_URL")
    return "\n".join([*lines, *([f"index-url = {index}"] if index else []), ""])


def base_of(image: str) -> str:
    """The name of the base that an image is built on."""
    return f"spa-vl-base:{image}"


def stage_image_of(image: str) -> str:
    """A reference under which a stage asks for the image."""
    return image_tags()[image][0]
