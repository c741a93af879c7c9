"""One writer at a time, where all that writers share is a bucket.

Who wants to write puts a claim of its own beside the work, then lists all claims. Alone, it holds
the work; otherwise it takes its claim back and tries again later. S3 lists what was written before,
so of two that try at once at least one sees the other: never do both hold. A holder renews its
claim; one that was not renewed for the lease's time, by the server's clock, counts as dead and is
removed. A holder that was taken for dead finds its claim gone and writes no more.
"""

import contextlib
import random
import threading
import time
from collections.abc import Iterator

from spavl.environment import lease_seconds
from spavl.errors import AwayError, BusyError, InputError
from spavl.storage.bucket import Bucket

RENEWALS = 4
"""In the lease's time, so that a lost one does not lose the lease."""


class Lease:
    """The right to write below a name.

    Args:
        bucket: Where the work lies.
        name: What is held; claims lie below `<name>.lock/`.
    """

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self._folder = f"{name}.lock"
        self._claim = ""
        self._seconds = lease_seconds()

    @contextlib.contextmanager
    def held(self, claimant: str, patience: float) -> Iterator[None]:
        """Hold the lease while the block runs.

        Args:
            claimant: Who claims, unique. Whoever claims under the same name must have made sure by
                other means, like a lock of its machine, that it is alone among its namesakes.
            patience: Seconds to wait for another holder's end.

        Raises:
            BusyError: If another still holds it then.
        """
        self._claim = f"{self._folder}/{claimant}"
        self._acquire(patience)
        ended = threading.Event()
        thread = threading.Thread(target=self._renew, args=(ended,), name="s3-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            with contextlib.suppress(AwayError, InputError):  # it runs out by itself
                self._bucket.remove([self._claim])

    def check(self) -> None:
        """Make sure that the lease is still held.

        Raises:
            BusyError: If it was lost to another.
        """
        if not any(claim.name == self._claim for claim in self._bucket.listed(self._folder)):
            raise BusyError(
                f"another process took over {self._bucket.uri(self._folder)}, as this one was not "
                "heard of for long: try again when it has ended"
            )

    def _acquire(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        while not self._try():
            if time.monotonic() > deadline:
                raise BusyError(
                    f"another process holds {self._bucket.uri(self._folder)}: "
                    "try again when it has ended"
                )
            time.sleep(random.uniform(0.5, 1.5))  # so that two do not meet again and again

    def _try(self) -> bool:
        self._bucket.write(self._claim, b"")
        claims = {claim.name: claim for claim in self._bucket.listed(self._folder)}
        own = claims.pop(self._claim, None)  # its time is the server's present one
        others = list(claims.values())
        if own is None or any(own.time - claim.time <= self._seconds for claim in others):
            self._bucket.remove([self._claim])
            return False
        self._bucket.remove(claim.name for claim in others)
        return True

    def _renew(self, ended: threading.Event) -> None:
        while not ended.wait(self._seconds / RENEWALS):
            with contextlib.suppress(AwayError, InputError, BusyError):
                self.check()  # a claim that was removed is not made anew
                self._bucket.write(self._claim, b"")
