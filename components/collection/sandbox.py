"""Decoding in processes of their own, bounded in memory and time.

A header cannot tell all that a decoder will do: progressive scans without end, tags that point at
each other, a fault in a C library. So pictures are decoded in processes that can do nothing else
(`components.collection.confining`) and end themselves when a picture takes too long. What they say
is checked and never run: plain bytes go both ways. One that ends costs its picture and is replaced;
the run goes on.
"""

import contextlib
import json
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

from components.collection.decoding import Decoded, Unusable
from spavl.settings.collection import CollectionSettings
from spavl.storable import read_json

START_SECONDS = 60.0
"""Most that a process takes to start, on a cold disk, and to hand over what it decoded."""
PATIENCE_SECONDS = 5.0
LENGTH = 8
LONGEST_HEADER = 2**16
PROGRAM = (
    "import json, sys; path, settings = map(json.loads, sys.argv[1:]); sys.path[:] = path; "
    "from components.collection.decoder_process import serve; serve(settings)"
)

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
        self._process: subprocess.Popen[bytes] | None = None

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
        if self._process is None:
            self._process = _started(self._settings)
        stream = self._process.stdin
        assert stream is not None
        with contextlib.suppress(OSError):  # it has ended, which its outcome tells
            stream.write(len(content).to_bytes(LENGTH))
            stream.write(content)
            stream.flush()
        return self._outcome

    def _outcome(self) -> Decoded | Unusable:
        deadline = time.monotonic() + self._settings.max_decode_seconds + START_SECONDS
        try:
            header = _header(self._read(self._length(LONGEST_HEADER, deadline), deadline))
            if "reason" in header:
                return Unusable(str(header["reason"]), str(header["detail"]))
            most = 2**20 + 8 * self._settings.max_side**2
            content = self._read(self._length(most, deadline), deadline)
            return _checked(content, header, self._settings)
        except (EOFError, ValueError, TimeoutError):
            return self._ended()

    def _ended(self) -> Unusable:
        code = self._end()
        if code == -signal.SIGALRM or code is None:
            limit = self._settings.max_decode_seconds
            return Unusable("too slow", f"not decoded in {limit:g} seconds")
        return Unusable("not decodable", "it ends the decoder")

    def _length(self, most: int, deadline: float) -> int:
        length = int.from_bytes(self._read(LENGTH, deadline))
        if length > most:
            raise ValueError("more than a decoder has to say")
        return length

    def _read(self, size: int, deadline: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        stream, parts = self._process.stdout, list[bytes]()
        while size:
            if not select.select([stream], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            part = stream.read(min(size, 2**20))
            if not part:
                raise EOFError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _end(self) -> int | None:
        """Its exit code; None where it had to be killed."""
        process, self._process = self._process, None
        if process is None:
            return None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()  # it ends by itself when nothing comes any more
        process.stdout.close()
        try:
            return process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None


def _started(settings: CollectionSettings) -> "subprocess.Popen[bytes]":
    bounds = settings.model_dump(mode="json", exclude_defaults=True)
    return subprocess.Popen(
        [sys.executable, "-I", "-c", PROGRAM, json.dumps(sys.path), json.dumps(bounds)],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={},  # keys and tokens are no business of a picture's
    )


def _header(content: bytes) -> dict[str, Any]:
    header = read_json(content)
    if not isinstance(header, dict) or not ({"reason", "detail"} <= set(header) or not header):
        raise ValueError("no decoder's words")
    return header


def _checked(content: bytes, header: dict[str, Any], settings: CollectionSettings) -> Decoded:
    """A PNG of the size that was asked for, by its first bytes: nothing else is let through."""
    width, height = (int.from_bytes(content[at : at + 4]) for at in (16, 20))
    if content[:8] != b"\x89PNG\r\n\x1a\n" or content[12:16] != b"IHDR":
        raise ValueError("no PNG")
    if not 0 < width <= settings.max_side or not 0 < height <= settings.max_side:
        raise ValueError("larger than a stored picture is")
    return Decoded(content, width, height)
