"""A journal of finished answers, so that a step that was killed goes on where it was.

One JSON line per answer, handed to the kernel as it comes (it outlives the process) and forced to
disk once a second and at the end (most of it outlives the machine). A line that a kill has torn is
skipped on reading; its answer is simply asked for again.
"""

import json
import os
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from spavl.chat.interface import ChatModel, ChatReply, ChatRequest, Sampling
from spavl.chat.reasoning import apart
from spavl.storable import count_of, read_json

SYNC_SECONDS = 1.0


class Journal:
    """Append-only file of replies, by record id; a context manager.

    Only where each reply lies is kept in memory, so it does not grow with the answers' length.

    Args:
        path: The file; it and its folder are made where they are missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("a+b")
        self._offsets = self._scan()
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sync()
        self._file.close()

    def __contains__(self, record_id: str) -> bool:
        return record_id in self._offsets

    def __len__(self) -> int:
        return len(self._offsets)

    def get(self, record_id: str) -> ChatReply:
        """The reply kept under a record id.

        Raises:
            KeyError: There is none.
        """
        return read_at(self._file, self._offsets[record_id], self.path)

    def add(self, reply: ChatReply) -> None:
        """Keeps a reply; it is with the kernel when this returns."""
        line = json.dumps(vars(reply), ensure_ascii=True).encode() + b"\n"
        self._offsets[reply.record_id] = self._file.seek(0, os.SEEK_END)
        self._file.write(line)
        self._file.flush()
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self._sync()

    def _scan(self) -> dict[str, int]:
        self._file.seek(0)
        offsets = {name: start for start, name in whole_lines(self._file)}
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(0, end - 1))
        if end and self._file.read(1) != b"\n":
            # Closes the torn line, so that the next reply starts on a line of its own.
            self._file.write(b"\n")
            self._file.flush()
        return offsets

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()


class JournaledChat:
    """A chat model that keeps every reply in a journal and never asks twice for the same record."""

    def __init__(self, chat: ChatModel, journal: Journal) -> None:
        self._chat = chat
        self._journal = journal

    @property
    def model_id(self) -> str:
        """The name of the model behind."""
        return self._chat.model_id

    def reply(
        self, requests: Sequence[ChatRequest], sampling: Sampling, done: Collection[str] = ()
    ) -> Iterator[ChatReply]:
        """Gives the journal's replies first, then asks for the others; see `ChatModel.reply`."""
        known = {request.record_id for request in requests if request.record_id in self._journal}
        for request in requests:
            if request.record_id in known and request.record_id not in done:
                yield self._journal.get(request.record_id)
        if len(known) == len(requests):
            return
        for reply in self._chat.reply(requests, sampling, known.union(done)):
            if reply.finish_reason != "error":
                self._journal.add(reply)
            yield reply


def whole_lines(stream: BinaryIO) -> Iterator[tuple[int, str]]:
    """Where each reply of a journal begins, and its record id; torn lines are left out."""
    start = 0
    for line in stream:
        reply = _parse(line)
        if reply is not None:
            yield start, reply.record_id
        start += len(line)


def read_at(stream: BinaryIO, start: int, path: Path) -> ChatReply:
    """The reply that begins at a place of a journal.

    Raises:
        OSError: There is none any more.
    """
    stream.seek(start)
    reply = _parse(stream.readline())
    if reply is None:
        raise OSError(f"{path} changed while it was in use: run the step again")
    return reply


def _parse(line: bytes) -> ChatReply | None:
    try:
        said = read_json(line)  # journals of before may hold what no shard can
        tokens = {name: count_of(said[name]) for name in ("prompt_tokens", "completion_tokens")}
        tokens["lost_calls"] = count_of(said.get("lost_calls"))
        return apart(ChatReply(**{**said, **tokens}))
    except (ValueError, TypeError, KeyError):
        return None
