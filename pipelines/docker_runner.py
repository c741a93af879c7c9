"""Running the DAG's tasks as containers on this machine, as strictly as a cluster would.

Each task runs in the image that its compiled form names: not as root, on a read-only root file
system, without capabilities, and with a way to new privileges for nobody. It sees the folders that
a run needs and nothing else of the machine. Where the command line is not root's, containers have
its user, so that files are the user's own; root's containers have the images' user and root's
group, by which both may write.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spavl.environment import cache_folder
from spavl.errors import InputError

if TYPE_CHECKING:
    from kfp import local

IMAGE_USER = 10001
CACHE = "/spavl-cache"
NETWORK = "SPAVL_CONTAINER_NETWORK"
# What a step may need of the command line's own environment.
PASSED_ON = ("OMP_NUM_THREADS", "SPAVL_LOG", "OPENAI_API_KEY", "GEMINI_API_KEY", "HF_TOKEN")


@dataclass(frozen=True)
class Folders:
    """The folders that containers see.

    Attributes:
        run: The run's own folder; kfp's files lie in it too.
        work: The work root.
        given: What the user gave: pictures and the table of classes; only read.
    """

    run: Path
    work: Path
    given: tuple[Path, ...] = ()


@contextlib.contextmanager
def containers(folders: Folders, environment: Mapping[str, str]) -> Iterator["local.DockerRunner"]:
    """A runner of containers for kfp; when the block or this process ends, so do they.

    A container cannot see this process. It waits for the lock that this process holds instead.

    Args:
        folders: What containers see.
        environment: Variables of the run.
    """
    from filelock import FileLock
    from kfp import local

    writable = (folders.run, folders.work, cache_folder())
    before = os.umask(0o002) if os.getuid() == 0 else None
    parent = folders.run / "parent.lock"
    try:
        with FileLock(parent, mode=0o664):
            for folder in (*writable, folders.run / "kfp", folders.run / "kfp-workspace"):
                folder.mkdir(parents=True, exist_ok=True)
                _share(folder)
            passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
            own = {"SPAVL_CACHE": CACHE, "SPAVL_PARENT_LOCK": str(parent)}
            yield local.DockerRunner(
                environment={**passed_on, **environment, **own},
                mounts=_mounts(folders),
                **_confinement(),
            )
    finally:
        if before is not None:
            os.umask(before)


def name_images(pipeline: Any) -> None:
    """Give every executor of a pipeline the image that its stage's digest names.

    Args:
        pipeline: A pipeline function of kfp's; its specification is changed.
    """
    from pipelines.compilation import stage_image

    for executor in _executors(pipeline):
        container = executor["container"]
        if container["image"].split(":")[1].count("."):
            container["image"] = stage_image(container["image"], "")


def require_images(pipeline: Any) -> None:
    """Check that an engine answers and has the pipeline's images.

    Raises:
        InputError: If not.
    """
    import docker

    try:
        client = docker.from_env()
        present = {tag for image in client.images.list() for tag in image.tags}
    except docker.errors.DockerException as error:
        raise InputError(
            "no container engine answers", str(error), "start Docker, or leave out --runner docker"
        ) from None
    wanted = {executor["container"]["image"] for executor in _executors(pipeline)}
    if missing := sorted(wanted - present):
        raise InputError("no image of this code", missing[0], "run make images")


def _executors(pipeline: Any) -> list[Any]:
    return list(pipeline.pipeline_spec.deployment_spec["executors"].values())


def _confinement() -> dict[str, Any]:
    uid = os.getuid()
    options = {
        "entrypoint": "",
        "user": f"{IMAGE_USER}:0" if uid == 0 else f"{uid}:{os.getgid()}",
        "read_only": True,
        "tmpfs": {"/tmp": "rw,nosuid,nodev,mode=1777"},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "labels": {"spa-vl": "run"},
    }
    network = os.environ.get(NETWORK)
    return {**options, "network_mode": network} if network else options


def _mounts(folders: Folders) -> list[Any]:
    """The run's folders lie at their own paths, since paths travel between steps."""
    from docker.types import Mount

    places = {str(folder): str(folder) for folder in (folders.run, folders.work)}
    places[CACHE] = str(cache_folder())
    written = [Mount(target, source, "bind") for target, source in places.items()]
    given = [Mount(str(path), str(path), "bind", read_only=True) for path in folders.given]
    return written + given


def _share(folder: Path) -> None:
    """Let root's group write what root made, so that containers may."""
    if os.getuid() != 0:
        return
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        if status.st_uid == 0 and not path.is_symlink():
            path.chmod(status.st_mode & 0o7777 | (0o070 if path.is_dir() else 0o060))
