"""One writer at a time, where all that writers share is a bucket.

Who wants to write looks whether anybody claims the work; if nobody does, it puts a claim of its own
beside it and lists all claims. Alone, it holds the work; otherwise it takes its claim back and
tries again later. S3 lists what was written before, so of two that try at once at least one sees
the other: never do both hold.

A holder renews its claim. Its right lasts half the lease from the moment that its last good renewal
was sent; once over, it never comes back, whatever arrives late. Others take a claim for dead when
it was not renewed for the whole lease, by the server's clock. So between a holder's last write and
its successor's first lies half a lease, for what is under way to arrive.
"""

import contextlib
import math
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from spavl.environment import lease_seconds
from spavl.errors import AwayError, BusyError, InputError
from spavl.storage.bucket import Bucket, Stored

RIGHT = 0.5
"""Part of the lease for which a renewal gives the right to begin a write."""
RENEWALS = 10
"""In the lease's time, so that some lost ones do not lose the lease."""
LOOKS = 3
"""At another's claim, before it counts: who comes second takes its own back at once."""


class LapsedError(BusyError):
    """The right to write ran out, as S3 was not reached in time; nobody need have taken over."""


class Time(Protocol):
    """What a lease asks of time; a simulation has its own."""

    def now(self) -> float:
        """Seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclass(frozen=True)
class RealTime:
    """This machine's."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Lease:
    """The right to write below a name.

    Args:
        bucket: Where the work lies.
        name: What is held; claims lie below `<name>.lock/`.
        clock: How time passes.
    """

    def __init__(self, bucket: Bucket, name: str, clock: Time = RealTime()) -> None:
        self._bucket = bucket
        self._folder = f"{name}.lock"
        self._clock = clock
        self._seconds = lease_seconds()
        self._claim = ""
        self._until = -math.inf
        self._gone = False
        self._buried: set[str] = set()
        """Claims that were taken for dead: what comes of them later is nobody's."""

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
        self.acquire(claimant, patience)
        ended = threading.Event()
        thread = threading.Thread(target=self._keep, args=(ended,), name="s3-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.release()

    def require(self) -> None:
        """Make sure that the right to write lasts, by this machine's clock alone.

        Raises:
            LapsedError: If it ran out.
            BusyError: If another took over.
        """
        if self._gone:
            raise self._lost()
        if self._clock.now() >= self._until:
            raise LapsedError(
                f"{self._bucket.uri(self._folder)} was not renewed in time: try again, it goes on"
            )

    def check(self) -> None:
        """Make sure that the lease is still held, and nobody else claims it.

        Raises:
            BusyError: If it was lost; see `require`.
        """
        for look in range(LOOKS):
            self.require()
            if not self._others(self._listed()):
                self.require()  # the listing may have taken long
                return
            if look < LOOKS - 1:
                self._clock.sleep(self._seconds * RIGHT / 10)
        raise self._lost()

    def acquire(self, claimant: str, patience: float) -> None:
        """Wait for the lease; see `held`."""
        deadline = self._clock.now() + patience
        while not self._try(claimant):
            if self._clock.now() > deadline:
                raise BusyError(
                    f"another process holds {self._bucket.uri(self._folder)}: "
                    "try again when it has ended"
                )
            self._clock.sleep(random.uniform(0.5, 1.5))  # so that two do not meet again and again

    def acquire_anew(self, claimant: str) -> None:
        """Hold a lease that lapsed once more, as if for the first time, if nobody else wants it.

        Raises:
            BusyError: If another holds it, or did so meanwhile.
        """
        if self._gone or self._claim not in self._claims():
            raise self._lost()
        self.acquire(claimant, patience=0.0)

    def renew(self) -> None:
        """Make the right last longer, if it lasts still; a claim that was removed stays so.

        Raises:
            BusyError: If the lease was lost.
        """
        self.require()
        self._listed()
        self.require()
        sent = self._clock.now()
        self._bucket.write(self._claim, b"")
        self.require()  # what comes too late gives no right, though it may have made a claim
        self._until = sent + RIGHT * self._seconds

    def release(self) -> None:
        """Give the lease back, or leave it to run out."""
        self._until = -math.inf
        with contextlib.suppress(AwayError, InputError):
            self._bucket.remove([self._claim])

    def _try(self, claimant: str) -> bool:
        claim = f"{self._folder}/{claimant}.{uuid.uuid4().hex}"
        if self._is_claimed(claimant):
            return False
        sent = self._clock.now()
        self._bucket.write(claim, b"")
        claims = self._claims()
        own = claims.pop(claim, None)  # its time is the server's present one
        others = _but_namesakes(claims, claimant)
        live = own is None or any(own.time - each.time <= self._seconds for each in others)
        if live or self._clock.now() >= sent + RIGHT * self._seconds:
            self._bucket.remove([claim])
            return False
        self._claim, self._until = claim, sent + RIGHT * self._seconds
        self._gone = False
        self._buried |= set(claims)
        self._bucket.remove(claims)
        return True

    def _is_claimed(self, claimant: str) -> bool:
        """Whether another's claim has changed while this process looked, or may yet do so."""
        others = _but_namesakes(self._claims(), claimant)
        newest = max((each.time for each in others), default=-math.inf)
        # Only a write of our own tells the server's present time.
        return bool(others) and not self._is_past(newest, claimant)

    def _is_past(self, moment: float, claimant: str) -> bool:
        probe = f"{self._folder}.time/{claimant}.{uuid.uuid4().hex}"
        self._bucket.write(probe, b"")
        times = [each.time for each in self._bucket.listed(probe)]
        self._bucket.remove([probe])
        return bool(times) and times[0] - moment > self._seconds

    def _listed(self) -> dict[str, Stored]:
        """All claims but buried ones, which are removed once more; the own one is among them."""
        claims = self._claims()
        if back := self._buried & set(claims):
            self._bucket.remove(sorted(back))
        if self._claim not in claims:
            raise self._lost()
        return {name: each for name, each in claims.items() if name not in back}

    def _others(self, claims: dict[str, Stored]) -> list[Stored]:
        own = claims[self._claim]
        others = (each for name, each in claims.items() if name != self._claim)
        return [each for each in others if own.time - each.time <= self._seconds]

    def _claims(self) -> dict[str, Stored]:
        return {each.name: each for each in self._bucket.listed(f"{self._folder}/")}

    def _lost(self) -> BusyError:
        self._gone = True
        return BusyError(
            f"another process took over {self._bucket.uri(self._folder)}, as this one was not "
            "heard of for long: try again when it has ended"
        )

    def _keep(self, ended: threading.Event) -> None:
        while not ended.wait(self._seconds / RENEWALS):
            # The next one may come in time; one that does not gives no right.
            with contextlib.suppress(AwayError, InputError, BusyError):
                self.renew()


def _but_namesakes(claims: dict[str, Stored], claimant: str) -> list[Stored]:
    """Claims of others; one of the same name is of a process that has ended."""
    return [
        each
        for name, each in claims.items()
        if not name.rpartition("/")[2].startswith(f"{claimant}.")
    ]
