"""Answers that were paid for, by what was asked: they outlive the stage that asked.

A stage's own work begins anew when one picture is added to its inputs; the calls that it made stay
good. They lie in the work root, in one folder per endpoint and model, under a digest of the whole
request: record id, turns, picture and sampling. Every writer has a file of its own, so any number
of processes may write side by side; each knows what was there when it began. Where the work root is
on S3, new answers are brought there now and then, and all of them at the end.
"""

import hashlib
import os
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from spavl.chat.interface import ChatReply, ChatRequest, Sampling
from spavl.chat.journal import Journal, read_at, whole_lines
from spavl.environment import keep_seconds
from spavl.errors import AwayError
from spavl.records import record_id
from spavl.storage import keep, refreshed

SHARE = 0.1
"""Most of the time that may go into bringing answers to S3."""


class PaidCalls:
    """The answers of one model at one endpoint; a context manager.

    Args:
        folder: Where the files are; made with the first answer.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: Journal | None = None
        self._places: dict[str, tuple[Path, int]] = {}
        self._next_keep = time.monotonic() + keep_seconds()
        for path in sorted(refreshed(folder, growing=True).glob("*.jsonl")):
            with path.open("rb") as stream:
                self._places.update((key, (path, start)) for start, key in whole_lines(stream))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._own is not None:
            self._own.__exit__(kind, error, trace)
            self._keep(self._own.path)

    def get(self, request: ChatRequest, sampling: Sampling) -> ChatReply | None:
        """The answer to a request that was made before; None if it was not."""
        if self._own is None and not self._places:
            return None
        key = call_key(request, sampling)
        if self._own is not None and key in self._own:
            return replace(self._own.get(key), record_id=request.record_id)
        if key not in self._places:
            return None
        path, start = self._places[key]
        with path.open("rb") as stream:
            return replace(read_at(stream, start, path), record_id=request.record_id)

    def add(self, request: ChatRequest, sampling: Sampling, reply: ChatReply) -> None:
        """Keeps an answer; it is with the kernel when this returns."""
        if self._own is None:
            self._own = Journal(self._folder / f"{os.getpid()}-{uuid.uuid4().hex[:12]}.jsonl")
        self._own.add(replace(reply, record_id=call_key(request, sampling)))
        if time.monotonic() >= self._next_keep:
            self._keep(self._own.path)

    def _keep(self, path: Path) -> None:
        start = time.monotonic()
        with suppress(AwayError):  # the file is here; S3 has it the next time
            keep(path)
        spent = time.monotonic() - start
        self._next_keep = time.monotonic() + max(keep_seconds(), spent * (1 / SHARE - 1))


def call_key(request: ChatRequest, sampling: Sampling) -> str:
    """Digest of what is asked, and for which record: equal questions about two rows are two."""
    picture = hashlib.sha256(request.image).hexdigest() if request.image is not None else ""
    turns = (part for message in request.messages for part in (message.role, message.text))
    return record_id(request.record_id, sampling.to_json(), picture, *turns)
