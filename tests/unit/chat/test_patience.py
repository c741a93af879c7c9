"""Slow answers are waited for: an endpoint charges for those that are given up all the same."""

import asyncio

import pytest

from spavl.chat import ChatRequest, Message, Sampling
from spavl.chat.openai_backend import OpenAIChat
from spavl.chat.patience import Patience
from spavl.chat.settings import OpenAISettings
from tests.unit.chat.charging import Books

GREEDY = Sampling(max_new_tokens=8, temperature=0.0)


def chat(url, **changes):
    fast = {"backoff_seconds": 0.01, **changes}
    return OpenAIChat(OpenAISettings(backend="openai", base_url=url, model="m", **fast))


def requests(count):
    return [ChatRequest(f"r{i}", (Message("user", f"q{i}"),)) for i in range(count)]


def a_fifth_slow(text):
    return 1.2 if int(text[1:]) % 5 == 0 else 0.4


@pytest.mark.parametrize("timeout_seconds", [0.8, None], ids=["tight", "default"])
def test_a_fifth_of_answers_at_three_times_the_median_is_charged_once(endpoint, timeout_seconds):
    endpoint.handle_instead = books = Books(a_fifth_slow)
    given = {"timeout_seconds": timeout_seconds} if timeout_seconds else {}
    replies = list(chat(endpoint.url, concurrency=32, **given).reply(requests(300), GREEDY))
    assert {reply.text for reply in replies} == {f"echo q{i}" for i in range(300)}
    assert books.calls.total() <= 300 * 1.02
    assert sum(reply.lost_calls for reply in replies) == books.calls.total() - 300


def test_a_request_whose_time_runs_out_twice_is_set_aside_and_told_as_charged(endpoint):
    endpoint.handle_instead = books = Books(lambda text: 30.0 if text == "q3" else 0.01)
    replies = chat(endpoint.url, timeout_seconds=0.5).reply(requests(8), GREEDY)
    by_id = {reply.record_id: reply for reply in replies}
    assert books.calls["q3"] == 2
    assert by_id["r3"].finish_reason == "error"
    assert "no answer after 2 attempts" in by_id["r3"].detail
    assert by_id["r3"].lost_calls == 2
    assert not by_id["r1"].lost_calls


def test_the_limit_follows_the_median_and_doubles_for_what_was_given_up():
    patience = Patience(1.0)

    async def answer_after(seconds):
        await asyncio.sleep(seconds)
        return seconds

    async def ask():
        assert patience.limit() == 3.0
        for seconds in (0.3, 0.3, 0.02):
            assert await patience.within(answer_after(seconds), 0) == seconds
        assert 1.5 <= patience.limit() < 3
        assert patience.limit(1) == 2 * patience.limit()

    asyncio.run(ask())
