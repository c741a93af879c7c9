"""Tokens, cost and pace of an endpoint."""

import pytest

from spavl.chat import ChatRequest, Message, Sampling
from spavl.chat.openai_backend import OpenAIChat
from spavl.chat.settings import OpenAISettings, TransformersSettings
from spavl.chat.usage import CountedChat, cost_of

GREEDY = Sampling(max_new_tokens=8, temperature=0.0)


def settings(url="http://h/v1", **changes):
    return OpenAISettings(backend="openai", base_url=url, model="m", **changes)


def requests(count):
    return [ChatRequest(f"r{i}", (Message("user", f"q{i}"),)) for i in range(count)]


@pytest.mark.parametrize(
    ("prices", "cost"),
    [
        ({"prompt_price": 2.0, "completion_price": 8.0}, 2.0 * 3 + 8.0 * 0.5),
        ({"prompt_price": 0.0, "completion_price": 8.0}, 4.0),
        ({"prompt_price": 0.0, "completion_price": 0.0}, 0.0),
        ({"completion_price": 8.0}, None),
        ({"prompt_price": 0.0}, None),
        ({}, None),
    ],
)
def test_cost_is_tokens_in_millions_times_prices(prices, cost):
    assert cost_of(settings(**prices), 3_000_000, 500_000) == cost


def test_a_model_in_this_process_costs_nothing_that_is_known():
    assert cost_of(TransformersSettings(backend="transformers"), 10, 10) is None


def test_what_passes_is_counted(endpoint):
    priced = settings(endpoint.url, prompt_price=1e6, completion_price=0.0)
    chat = CountedChat(OpenAIChat(priced), priced)
    list(chat.reply(requests(5), GREEDY))
    list(chat.reply(requests(5), GREEDY, done={"r0", "r1"}))
    assert chat.usage() == {
        "replies": 8, "prompt_tokens": 88, "completion_tokens": 24, "cost": 88.0,
    }  # fmt: skip


def test_tokens_a_minute_space_the_starts_once_an_answer_has_told_its_cost(endpoint):
    """An answer costs 14 tokens; 140 a second let one start in a tenth of a second."""
    limited = settings(endpoint.url, tokens_per_minute=140 * 60, concurrency=1)
    list(OpenAIChat(limited).reply(requests(6), GREEDY))
    gaps = [b - a for a, b in zip(endpoint.times, endpoint.times[1:], strict=False)]
    assert sum(gaps) >= 5 * 0.1 * 0.9
