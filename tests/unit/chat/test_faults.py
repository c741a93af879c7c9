"""Where every fifth call fails, each row is answered or set aside, none lost and none twice."""

import asyncio
import random
from collections import Counter

import pytest
from aiohttp import web

from spavl.chat import ChatRequest, Message, Sampling
from spavl.chat.health import EndpointError
from spavl.chat.openai_backend import OpenAIChat
from spavl.chat.settings import OpenAISettings
from spavl.errors import InputError
from tests.unit.chat.conftest import completion, last_text

GREEDY = Sampling(max_new_tokens=8, temperature=0.0)


def chat(url, **changes):
    fast = {"backoff_seconds": 0.01, "timeout_seconds": 0.5, "concurrency": 32, **changes}
    return OpenAIChat(OpenAISettings(backend="openai", base_url=url, model="m", **fast))


def requests(count):
    return [ChatRequest(f"r{i}", (Message("user", f"q{i}"),)) for i in range(count)]


async def throttled(_):
    return web.Response(status=429, headers={"Retry-After": "0.05"})


async def broken(_):
    return web.Response(status=500, text="out of memory")


async def hanging(_):
    await asyncio.sleep(2)
    return web.Response()


async def cut(request):
    response = web.StreamResponse(headers={"Content-Length": "500"})
    await response.prepare(request)
    await response.write(b'{"choices": [{"mess')
    request.transport.close()
    return response


async def no_json(_):
    return web.Response(text='{"choices": [', content_type="application/json")


async def other_model(_):
    return web.json_response({**completion("not mine"), "model": "someone-else"})


async def unknown_model(_):
    return web.Response(status=404, text="no such model")


FAULTS = [throttled, broken, hanging, cut, no_json, other_model, unknown_model]


@pytest.fixture
def failing(endpoint):
    """Makes a share of the endpoint's calls fail, each fault as often as any other."""

    def fail(share, faults=FAULTS):
        draw = random.Random(5)
        asked = Counter()

        async def handle(request):
            body = await request.json()
            asked[last_text(body)] += 1
            await asyncio.sleep(0.01)
            if draw.random() < share:
                return await draw.choice(faults)(request)
            return web.json_response({**completion(f"echo {last_text(body)}"), "model": "m"})

        endpoint.handle_instead = handle
        return asked

    return fail


def test_with_a_fifth_of_calls_failing_each_row_is_answered_once_or_set_aside(endpoint, failing):
    asked = failing(0.2)
    replies = list(chat(endpoint.url).reply(requests(300), GREEDY))
    assert Counter(reply.record_id for reply in replies) == {f"r{i}": 1 for i in range(300)}
    for reply in replies:
        if reply.finish_reason == "error":
            assert reply.detail
        else:
            assert reply.text == f"echo q{reply.record_id[1:]}"
    # With six attempts at each, hardly one is left unserved.
    assert sum(reply.finish_reason == "error" for reply in replies) <= 10
    assert asked.total() > 330


def test_rows_that_fail_at_every_attempt_are_set_aside_while_others_are_served(endpoint, failing):
    failing(0.5, [broken, cut])
    replies = list(chat(endpoint.url, max_attempts=2, max_set_aside=1).reply(requests(200), GREEDY))
    left_out = [reply for reply in replies if reply.finish_reason == "error"]
    assert len(replies) == 200
    assert 10 < len(left_out) < 100
    assert all("no answer after 2 attempts" in reply.detail for reply in left_out)


@pytest.mark.parametrize("fault", [throttled, broken, cut, no_json])
def test_an_endpoint_that_serves_nobody_is_named_and_may_be_tried_again(endpoint, failing, fault):
    asked = failing(1.0, [fault])
    with pytest.raises(EndpointError, match=endpoint.url) as caught:
        list(chat(endpoint.url, max_attempts=2, concurrency=8).reply(requests(100), GREEDY))
    assert caught.value.exit_code == 75
    assert len(asked) < 60


def test_a_model_that_is_nowhere_known_is_bad_input(endpoint, failing):
    asked = failing(1.0, [unknown_model])
    with pytest.raises(InputError, match="no such model") as caught:
        list(chat(endpoint.url, concurrency=8).reply(requests(100), GREEDY))
    assert "correct base_url or model (m)" in str(caught.value)
    assert asked.total() < 60


def test_an_endpoint_that_calls_its_model_otherwise_can_be_told(endpoint, failing):
    failing(1.0, [other_model])
    for name in ("someone-else", ""):
        (reply,) = chat(endpoint.url, expected_model=name).reply(requests(1), GREEDY)
        assert reply.text == "not mine"
