"""Decoding in processes of their own, bounded in memory and time.

A header cannot tell all that a decoder will do: progressive scans without end, tags that point at
each other, a fault in a C library. So pictures are decoded in processes whose memory is bounded by
the pixels allowed, and which end themselves when a picture takes too long. One that ends costs its
picture and is replaced; the run goes on.
"""

import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from types import TracebackType
from typing import Self, TypeVar

from components.collection.decoding import Decoded, Unusable, decode, encode
from spavl.settings.collection import CollectionSettings

BYTES_PER_PIXEL = 16
"""Most that decoding holds at a time: four copies of four channels (WebP with transparency)."""
SPARE_BYTES = 256 * 2**20
"""Beside the pixels: the file, its tables, the encoded result."""

KeyType = TypeVar("KeyType")


class Decoders:
    """Decodes pictures in order, several at once.

    Args:
        settings: Bounds, and how many processes (`threads`).
    """

    def __init__(self, settings: CollectionSettings) -> None:
        self._decoders = [Decoder(settings) for _ in range(settings.threads)]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for decoder in self._decoders:
            self._stack.enter_context(decoder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def decoded(
        self, contents: Iterable[tuple[KeyType, bytes | Unusable]]
    ) -> Iterator[tuple[KeyType, Decoded | Unusable]]:
        """Each picture under its key, in the order they come; what is unusable already passes.

        Holds no more pictures than there are processes.
        """
        waiting: deque[tuple[KeyType, Callable[[], Decoded | Unusable]]] = deque()
        for place, (key, content) in enumerate(contents):
            if len(waiting) == len(self._decoders):
                first, outcome = waiting.popleft()
                yield first, outcome()
            decoder = self._decoders[place % len(self._decoders)]  # free: its last one was taken
            waiting.append((key, decoder.begin(content)))
        for key, outcome in waiting:
            yield key, outcome()


class Decoder:
    """One process that decodes one picture at a time; started with the first."""

    def __init__(self, settings: CollectionSettings) -> None:
        self._settings = settings
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def begin(self, content: bytes | Unusable) -> Callable[[], Decoded | Unusable]:
        """Starts on a picture; call what is returned for the outcome."""
        if isinstance(content, Unusable):
            return lambda: content
        if self._pool is None:
            self._pool = _bounded_process(self._settings)
        began = time.monotonic()
        future = self._pool.submit(_bounded_decode, content, self._settings)
        return lambda: self._outcome(future, began)

    def _outcome(self, future: "Future[Decoded | Unusable]", began: float) -> Decoded | Unusable:
        try:
            return future.result()
        except BrokenProcessPool:
            self._end()
            limit = self._settings.max_decode_seconds
            if time.monotonic() - began >= limit:
                return Unusable("too slow", f"not decoded in {limit:g} seconds")
            return Unusable("not decodable", "it ends the decoder")

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _bounded_process(settings: CollectionSettings) -> ProcessPoolExecutor:
    import multiprocessing

    # A fork would inherit locks that other threads hold.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, context, _set_bounds, (settings,))


def _set_bounds(settings: CollectionSettings) -> None:
    """Runs first in the decoding process."""
    import multiprocessing
    import os
    import resource
    import threading
    from pathlib import Path

    import numpy  # noqa: F401  # loaded before memory is bounded
    import PIL.Image

    parent = multiprocessing.parent_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle

    def end_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end_with_parent, name="end-with-parent", daemon=True).start()
    PIL.Image.init()
    PIL.Image.MAX_IMAGE_PIXELS = settings.max_pixels
    statm = Path("/proc/self/statm")
    if statm.exists():  # elsewhere the kernel does not hold to this bound
        held = int(statm.read_text().split()[0]) * resource.getpagesize()
        bound = held + SPARE_BYTES + settings.max_bytes + BYTES_PER_PIXEL * settings.max_pixels
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def _bounded_decode(content: bytes, settings: CollectionSettings) -> Decoded | Unusable:
    signal.setitimer(signal.ITIMER_REAL, settings.max_decode_seconds)  # SIGALRM ends the process
    try:
        return encode(decode(content, settings))
    except Unusable as unusable:
        return unusable
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
