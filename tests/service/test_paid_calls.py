"""Paid calls on S3: what one machine paid for, another takes up."""

from collections.abc import Callable

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


def test_a_server_that_is_away_ends_no_work(s3: S3Server) -> None:
    with PaidCalls(paid_folder("http://h/v1", "m")) as paid:
        s3.kill()
        paid.add(REQUEST, GREEDY, REPLY)
        assert paid.get(REQUEST, GREEDY) == REPLY
