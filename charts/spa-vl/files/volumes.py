"""Test what a run needs of its volumes, as the user that runs are; each fault is one line.

`volumes.py CLAIM=FOLDER=GIB ...`: a claim, the folder that it is mounted at, and how much has to be
free on it. Exit code 1 if anything is missing. It asks from one pod: whether several nodes see each
other's locks it cannot tell.
"""

import errno
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

GIB = 2**30
LOCKS = {"flock": fcntl.flock, "lockf": fcntl.lockf}
NO_FILE_SYSTEM = "a run needs a file system: take another storage class, no bucket behind a mount"


class FaultError(Exception):
    """What a volume lacks, and what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}: {remedy}")


@dataclass(frozen=True)
class Volume:
    """A volume of runs: its claim, where it is mounted, the GiB that it has to have free."""

    claim: str
    folder: str
    gib: float

    def __str__(self) -> str:
        return f"volume {self.claim} ({self.folder})"


def main() -> None:
    """Test the volumes that the arguments name."""
    volumes = [Volume(c, f, float(g)) for c, f, g in (word.split("=") for word in sys.argv[1:])]
    faults = [*used(volumes), *crowded(volumes)]
    print("\n".join(faults) or f"{', '.join(map(str, volumes))}: as a run needs them")
    sys.exit(bool(faults))


def used(volumes: list[Volume]) -> Iterator[str]:
    """The first thing that cannot be done on each volume."""
    for volume in volumes:
        try:
            place = _own_folder(volume)
            try:
                for act in (write, rename, lock):
                    act(place)
            finally:
                shutil.rmtree(place, ignore_errors=True)
        except FaultError as fault:
            yield f"{volume}: {fault}"


def crowded(volumes: list[Volume]) -> Iterator[str]:
    """File systems with too little room; volumes on the same one need the sum."""
    disks: dict[int, list[Volume]] = {}
    for volume in filter(lambda one: os.path.isdir(one.folder), volumes):
        disks.setdefault(os.stat(volume.folder).st_dev, []).append(volume)
    for those in disks.values():
        status = os.statvfs(those[0].folder)
        free, wanted = status.f_bavail * status.f_frsize / GIB, sum(each.gib for each in those)
        if free < wanted:
            yield (
                f"{' and '.join(map(str, those))}: {free:.1f} GiB free, {wanted:g} GiB wanted: "
                "make room or a larger claim, or lower volumes.*.freeGiB in the chart's values"
            )


def write(place: str) -> None:
    """A file is written, forced to disk and read back."""
    path = os.path.join(place, "written")
    try:
        with open(path, "wb") as file:
            file.write(b"kept")
            file.flush()
            os.fsync(file.fileno())
        with open(path, "rb") as file:
            if file.read() != b"kept":
                raise FaultError("a file does not hold what was written", NO_FILE_SYSTEM)
    except OSError as error:
        raise FaultError(f"a file cannot be written ({error.strerror})", _room(error)) from None


def rename(place: str) -> None:
    """A file takes another's name, a folder a new one: how finished work is committed."""
    new, old, folder = (os.path.join(place, name) for name in ("new", "old", "folder"))
    try:
        for path in (new, old):
            with open(path, "w") as file:
                file.write(path)
        os.rename(new, old)
        os.mkdir(folder)
        os.rename(folder, f"{folder}-done")
        with open(old) as file:
            kept = file.read() == new
    except OSError as error:
        raise FaultError(f"nothing can be renamed ({error.strerror})", NO_FILE_SYSTEM) from None
    if not kept or not os.path.isdir(f"{folder}-done"):
        raise FaultError("what was renamed is not there", NO_FILE_SYSTEM)


def lock(place: str) -> None:
    """What one process has locked, another does not get."""
    path = os.path.join(place, "lock")
    for name, take in LOCKS.items():
        try:
            alone = _refused_to_another(path, take)
        except OSError as error:
            remedy = "NFS: mount it with nfsvers=4, and without nolock"
            raise FaultError(f"{name} is refused ({error.strerror})", remedy) from None
        if not alone:
            raise FaultError(f"{name} gives one lock to two processes", NO_FILE_SYSTEM)


def _refused_to_another(path: str, take: Callable[[int, int], object]) -> bool:
    with open(path, "w") as file:
        take(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        child = os.fork()
        if child == 0:
            os._exit(_try(path, take))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _try(path: str, take: Callable[[int, int], object]) -> int:
    """0 if the lock is held by somebody else."""
    with open(path, "r+") as file:
        try:
            take(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return 0 if error.errno in (errno.EAGAIN, errno.EACCES) else 1
    return 1


def _own_folder(volume: Volume) -> str:
    try:
        return tempfile.mkdtemp(prefix=".spa-vl-test-", dir=volume.folder)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM):
            raise FaultError(f"no folder can be made ({error.strerror})", _room(error)) from None
    status, user, group = os.stat(volume.folder), os.geteuid(), os.getegid()
    raise FaultError(
        f"user {user} may not write, it belongs to {status.st_uid}:{status.st_gid} with mode "
        f"{status.st_mode & 0o7777:o}",
        "its driver sets no group for pods (fsGroup); on its server: "
        f"chown {user}:{group} and chmod 2775 this folder (of NFS, the one exported)",
    )


def _room(error: OSError) -> str:
    match error.errno:
        case errno.EROFS:
            return "it is mounted read-only: export and mount it for writing"
        case errno.ENOSPC | errno.EDQUOT:
            return "it is full: make room or a larger claim"
        case errno.ENOENT:
            return "nothing is mounted there: look at the pod's events"
    return NO_FILE_SYSTEM


if __name__ == "__main__":
    main()
