"""Paid calls on S3: what one machine paid for, another takes up."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from spavl.chat import ChatReply, ChatRequest, Message, Sampling
from spavl.chat.backends import paid_folder
from spavl.chat.paid_calls import PaidCalls
from tests.service.servers import S3Server

REQUEST = ChatRequest("r", (Message("user", "q"),))
REPLY = ChatReply("r", "a", "stop", 1, 1)
GREEDY = Sampling(max_new_tokens=4, temperature=0.0)


def test_another_machine_finds_them(s3: S3Server, another_machine: Callable[[], None]) -> None:
    folder = paid_folder("http://h/v1", "m")
    with PaidCalls(folder) as paid:
        paid.add(REQUEST, GREEDY, REPLY)
        another_machine()  # the first one has not ended
        with PaidCalls(paid_folder("http://h/v1", "m")) as elsewhere:
            assert elsewhere.get(REQUEST, GREEDY) == REPLY


def test_what_was_not_sent_yet_outlives_a_stage_that_begins_again_here(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that is killed goes on in its pod; S3 holds what it had by the last time."""
    folder = paid_folder("http://h/v1", "m")
    first = PaidCalls(folder)
    first.add(REQUEST, GREEDY, REPLY)  # sent at once
    monkeypatch.setenv("SPAVL_KEEP_SECONDS", "1000")
    first._next_keep = float("inf")
    later = replace(REQUEST, record_id="later")
    first.add(later, GREEDY, replace(REPLY, record_id="later"))
    with PaidCalls(folder) as again:  # the first one was killed, or lives beside it
        assert again.get(REQUEST, GREEDY) == REPLY
        assert again.get(later, GREEDY) == replace(REPLY, record_id="later")
    last = replace(REQUEST, record_id="last")
    first.add(last, GREEDY, replace(REPLY, record_id="last"))
    with PaidCalls(folder) as again:  # what it wrote afterwards is there too
        assert again.get(last, GREEDY) is not None


def test_a_server_that_is_away_ends_no_work(s3: S3Server) -> None:
    with PaidCalls(paid_folder("http://h/v1", "m")) as paid:
        s3.kill()
        paid.add(REQUEST, GREEDY, REPLY)
        assert paid.get(REQUEST, GREEDY) == REPLY
