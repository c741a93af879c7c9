"""A stage's work on S3: it is done in a folder of this machine, and kept in the bucket as it goes.

What another machine needs to go on from is brought there now and then while the stage works; all of
it when the stage has finished, `commit.json` last. Nothing there is ever half an object.
"""

import contextlib
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from spavl.environment import keep_seconds
from spavl.errors import AwayError
from spavl.storage.bucket import Bucket, is_s3, parts_of
from spavl.storage.copies import fetch, finished_files, send, uri_of
from spavl.storage.lease import LapsedError, Lease

SHARE = 0.1
"""Most of a stage's time that may go into bringing unfinished work to S3."""
WRITER = ".writer"
JOURNALS = ("*.jsonl", "checkpoint/*.jsonl")
CHECKPOINTS = "checkpoint/step-*"
BESIDE = ("paid", "reference-log-probs")
"""Folders of the work root that all stages add to; their files are only ever added or appended to,
so they need no lease. Who reads one asks for it by `refreshed`."""


def twin_of(folder: Path, commit: str) -> "Twin | None":
    """What keeps a stage's folder on S3; None where the folder stands for no place there.

    Args:
        folder: The stage's folder.
        commit: Name of the file in it that says that the work is finished.
    """
    return Twin(folder, commit) if is_s3(uri_of(folder)) else None


class Twin:
    """A stage's folder here and its twin on S3; see `twin_of`."""

    def __init__(self, folder: Path, commit: str) -> None:
        self._folder = folder
        self._commit = commit
        bucket_name, self._name = parts_of(uri_of(folder))
        self._bucket = Bucket(bucket_name)
        self._lease = Lease(self._bucket, self._name)
        self._next = time.monotonic() + keep_seconds()

    @contextlib.contextmanager
    def held(self, patience: float) -> Iterator[None]:
        """Have the work here while the block runs: finished, or alone to go on with it.

        Raises:
            BusyError: If another machine works on it for longer than `patience` seconds.
        """
        if self._fetched_commit():
            yield
            return
        with self._lease.held(self._identity(), patience):
            if not self._fetched_commit():
                self._take_up()
                if (self._folder / self._commit).exists():
                    self.finish()  # it was interrupted between here and there
            yield

    def keep_now_and_then(self) -> str:
        """Bring unfinished work to S3, if that was not done just before.

        Returns:
            Why it could not be done for now; empty where nothing is wrong.
        """
        if time.monotonic() < self._next:
            return ""
        start = time.monotonic()
        try:
            self.keep()
        except AwayError as error:
            return str(error)
        finally:
            spent = time.monotonic() - start
            self._next = time.monotonic() + max(keep_seconds(), spent * (1 / SHARE - 1))
        return ""

    def keep(self) -> None:
        """Bring what unfinished work is taken up from to S3: journals and curves, and checkpoints.

        Trainers of several processes go on meanwhile. The checkpoints are those that were there at
        first, and are sent last, so that none is on S3 without the lines written before it; and
        the newest first, as it is the last to be dropped here.

        Raises:
            BusyError: If another took over.
        """
        self._require_held()
        folders = sorted(self._folder.glob(CHECKPOINTS), reverse=True)
        checkpoints = [path for folder in folders for path in finished_files(folder)]
        journals = [path for pattern in JOURNALS for path in self._folder.glob(pattern)]
        send(self._bucket, [*journals, *checkpoints], self._name, self._lease.require)
        if all(path.exists() for path in checkpoints):  # else older ones on S3 are still wanted
            self._remove_others(below=f"{self._name}/checkpoint")
        self._keep_beside()

    def finish(self) -> None:
        """Bring finished work to S3, its commit last; what is not here is removed there."""
        self._require_held()
        commit = self._folder / self._commit
        files = [path for path in finished_files(self._folder) if path != commit]
        outside = [path for path in files if not path.is_relative_to(self._folder / "checkpoint")]
        self._keep_beside()
        send(self._bucket, outside, self._name, self._lease.require)
        self._lease.check()
        send(self._bucket, [commit], self._name, self._lease.require)
        shutil.rmtree(self._folder / "checkpoint", ignore_errors=True)
        self._remove_others(below=self._name)

    def withdraw(self, path: Path) -> None:
        """Take the commit back, and a file of the work that is damaged; of work alone."""
        commit = f"{self._name}/{self._commit}"
        if self._bucket.read(commit) is None:
            return
        self._bucket.remove([commit])
        if path.is_relative_to(self._folder):
            self._bucket.remove([f"{self._name}/{path.relative_to(self._folder).as_posix()}"])

    def _fetched_commit(self) -> bool:
        stored = list(self._bucket.listed(f"{self._name}/{self._commit}"))
        if stored and not (self._folder / self._commit).exists():
            self._clear()  # what was begun here is of no use any more
        fetch(self._bucket, stored)
        return bool(stored)

    def _identity(self) -> str:
        """Names this very folder, so that it is known again and a copy elsewhere is not it."""
        place = self._folder / WRITER
        if not place.exists():
            place.write_text(uuid.uuid4().hex)
        return place.read_text()

    def _take_up(self) -> None:
        """Have the newest state here, which is this folder's only if it was the last to write."""
        writer, identity = f"{self._name}.writer", self._identity()
        stored = list(self._bucket.listed(self._name))
        if stored and self._bucket.read(writer) != identity.encode():
            self._clear()
            fetch(self._bucket, stored)
            (self._folder / WRITER).write_text(identity)
        self._bucket.write(writer, identity.encode())

    def _require_held(self) -> None:
        """Make sure that this process may write; S3 may have been away for longer than the lease.

        Raises:
            BusyError: If another took over.
        """
        try:
            self._lease.check()
        except LapsedError:
            self._lease.acquire_anew(self._identity())
            if self._bucket.read(f"{self._name}.writer") != self._identity().encode():
                self._lease.release()
                raise

    def _clear(self) -> None:
        shutil.rmtree(self._folder)
        self._folder.mkdir()

    def _keep_beside(self) -> None:
        for name in BESIDE:
            folder = self._folder.parents[1] / name
            if folder.is_dir():
                send(self._bucket, finished_files(folder), parts_of(uri_of(folder))[1])

    def _remove_others(self, below: str) -> None:
        """Remove objects whose files are no more; JSON first, since it speaks of the others."""
        gone = [
            each.name
            for each in self._bucket.listed(below)
            if not (self._folder / each.name.removeprefix(f"{self._name}/")).exists()
        ]
        for name in sorted(gone, key=lambda name: not name.endswith(".json")):
            self._lease.require()
            self._bucket.remove([name])
