"""The client against a real endpoint that throttles, fails, hangs up and talks nonsense."""

import base64
import socket
import time
from datetime import UTC, datetime

import pytest
from aiohttp import web

from spavl.chat import ChatRequest, Message, Sampling
from spavl.chat.health import EndpointError
from spavl.chat.openai_backend import OpenAIChat
from spavl.chat.settings import OpenAISettings
from spavl.chat.tries import TransientError, seconds_to_next, seconds_to_wait
from spavl.errors import InputError

GREEDY = Sampling(max_new_tokens=8, temperature=0.0, seed=7)


def chat(url, **changes):
    fast = {"backoff_seconds": 0.01, "timeout_seconds": 5, "max_attempts": 4, **changes}
    return OpenAIChat(OpenAISettings(backend="openai", base_url=url, model="m", **fast))


def requests(count, image=None):
    return [
        ChatRequest(f"r{i}", (Message("system", "Be brief."), Message("user", f"q{i}")), image)
        for i in range(count)
    ]


def status(code, text="", **headers):
    async def respond(_):
        return web.Response(status=code, text=text, headers=headers)

    return respond


async def drop(request):
    request.transport.close()
    return web.Response()


async def cut_json(_):
    return web.Response(text='{"choices": [{"message"', content_type="application/json")


async def other_json(_):
    return web.json_response({"error": "busy"})


async def hang(_):
    import asyncio

    await asyncio.sleep(2)
    return web.Response()


def test_every_request_is_answered_under_its_own_id_with_its_tokens(endpoint):
    replies = {r.record_id: r for r in chat(endpoint.url).reply(requests(20), GREEDY)}
    assert {name: r.text for name, r in replies.items()} == {
        f"r{i}": f"echo q{i}" for i in range(20)
    }
    assert {(r.finish_reason, r.prompt_tokens, r.completion_tokens) for r in replies.values()} == {
        ("stop", 11, 3)
    }


def test_what_is_sent_is_a_chat_completion_with_the_picture_as_data_uri(endpoint):
    picture = b"\x89PNG\r\n\x1a\nrest"
    list(chat(endpoint.url).reply(requests(1, picture), GREEDY))
    (body,) = endpoint.bodies
    seed = body.pop("seed")
    assert 0 <= seed < 2**31
    assert body == {
        "model": "m",
        "temperature": 0.0,
        "max_tokens": 8,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {
                        "type": "image_url",
                        "image_url": {
                            "url": "data:image/png;base64," + base64.b64encode(picture).decode()
                        },
                    },
                    {"type": "text", "text": "q0"},
                ],
            },
        ],
    }


def test_a_records_seed_does_not_depend_on_the_requests_beside_it(endpoint):
    list(chat(endpoint.url, concurrency=1).reply(requests(3), GREEDY))
    list(chat(endpoint.url, concurrency=1).reply(requests(3)[2:], GREEDY))
    assert endpoint.bodies[2]["seed"] == endpoint.bodies[3]["seed"]
    assert len({body["seed"] for body in endpoint.bodies}) == 3


@pytest.mark.parametrize(
    "trouble",
    [status(500), status(503), status(408), status(429), drop, cut_json, other_json],
    ids=["500", "503", "408", "429", "dropped", "cut-json", "other-json"],
)
def test_what_may_pass_is_tried_again(endpoint, trouble):
    endpoint.misbehave = [trouble, trouble]
    (reply,) = chat(endpoint.url).reply(requests(1), GREEDY)
    assert reply.text == "echo q0"
    assert len(endpoint.bodies) == 3


def test_a_hanging_attempt_is_given_up_and_tried_again(endpoint):
    endpoint.misbehave = [hang]
    (reply,) = chat(endpoint.url, timeout_seconds=0.2).reply(requests(1), GREEDY)
    assert reply.text == "echo q0"


def test_retry_after_is_honoured(endpoint):
    endpoint.misbehave = [status(429, **{"Retry-After": "0.6"})]
    list(chat(endpoint.url).reply(requests(1), GREEDY))
    assert endpoint.times[1] - endpoint.times[0] >= 0.6


def test_retry_after_is_bounded_by_the_longest_wait(endpoint):
    endpoint.misbehave = [status(429, **{"Retry-After": "3600"})]
    start = time.monotonic()
    list(chat(endpoint.url, max_wait_seconds=0.1).reply(requests(1), GREEDY))
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("-1", 0.0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header, seconds):
    assert seconds_to_wait(header, datetime(2026, 11, 21, 12, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("attempt", "asked", "low", "high"),
    [(1, None, 0, 2), (3, None, 0, 8), (9, None, 0, 60), (1, 7.0, 7, 9), (1, 3600.0, 60, 62)],
)
def test_waits_double_up_to_the_longest_and_keep_to_what_is_asked(attempt, asked, low, high):
    settings = OpenAISettings(
        backend="openai", base_url="http://h", model="m", backoff_seconds=2, max_wait_seconds=60
    )
    waits = [seconds_to_next(settings, attempt, TransientError("", asked)) for _ in range(300)]
    assert low <= min(waits) < max(waits) <= high
    assert max(waits) - min(waits) > (high - low) / 2


def test_lasting_trouble_names_endpoint_and_asks_to_try_again(endpoint):
    endpoint.misbehave = [status(500, "out of memory")] * 4
    with pytest.raises(EndpointError, match="out of memory") as caught:
        list(chat(endpoint.url).reply(requests(1), GREEDY))
    assert endpoint.url in str(caught.value)
    assert caught.value.exit_code == 75
    assert len(endpoint.bodies) == 4


def test_nobody_listening_is_trouble_that_names_the_endpoint():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(EndpointError, match=url):
            list(chat(url, max_attempts=2).reply(requests(1), GREEDY))


@pytest.mark.parametrize(("code", "remedy"), [(401, "SPAVL_TEST_KEY"), (404, "base_url or model")])
def test_refused_keys_and_unknown_models_are_bad_input(endpoint, monkeypatch, code, remedy):
    monkeypatch.setenv("SPAVL_TEST_KEY", "secret-key")
    endpoint.misbehave = [status(code, "no")] * 3
    with pytest.raises(InputError, match=remedy) as caught:
        list(chat(endpoint.url, api_key_env="SPAVL_TEST_KEY").reply(requests(3), GREEDY))
    assert caught.value.exit_code == 2
    assert "secret-key" not in str(caught.value)


def test_the_key_is_sent_and_a_missing_one_is_told_before_any_request(endpoint, monkeypatch):
    monkeypatch.setenv("SPAVL_TEST_KEY", "secret-key")
    list(chat(endpoint.url, api_key_env="SPAVL_TEST_KEY").reply(requests(1), GREEDY))
    assert endpoint.headers[0]["Authorization"] == "Bearer secret-key"
    monkeypatch.delenv("SPAVL_TEST_KEY")
    with pytest.raises(InputError, match="SPAVL_TEST_KEY"):
        chat(endpoint.url, api_key_env="SPAVL_TEST_KEY")
    assert len(endpoint.bodies) == 1


def test_one_request_that_is_turned_down_does_not_end_the_others(endpoint):
    endpoint.misbehave = [status(400, "image too small")]
    replies = list(chat(endpoint.url, concurrency=1).reply(requests(3), GREEDY))
    assert [r.finish_reason for r in replies] == ["error", "stop", "stop"]
    assert "image too small" in replies[0].detail


def test_turning_down_everything_is_bad_input(endpoint):
    endpoint.misbehave = [status(400, "unknown field seed")] * 40
    with pytest.raises(InputError, match="unknown field seed"):
        list(chat(endpoint.url).reply(requests(40), GREEDY))


def test_requests_run_side_by_side_up_to_the_bound(endpoint):
    endpoint.delay = 0.05
    list(chat(endpoint.url, concurrency=4).reply(requests(16), GREEDY))
    assert endpoint.most_at_once == 4


def test_the_pace_spaces_the_starts(endpoint):
    begun = time.monotonic()
    list(chat(endpoint.url, requests_per_minute=1200).reply(requests(5), GREEDY))
    assert endpoint.times[-1] - begun >= 4 * 0.05


def test_requests_done_before_are_not_sent(endpoint):
    replies = chat(endpoint.url).reply(requests(4), GREEDY, done={"r0", "r3"})
    assert sorted(r.record_id for r in replies) == ["r1", "r2"]
    assert len(endpoint.bodies) == 2


def test_leaving_early_ends_the_requests_under_way(endpoint):
    endpoint.delay = 0.05
    replies = chat(endpoint.url, concurrency=2).reply(requests(50), GREEDY)
    next(replies)
    replies.close()
    time.sleep(0.1)  # what was on its way has arrived
    sent = len(endpoint.bodies)
    time.sleep(0.1)
    assert len(endpoint.bodies) == sent < 50
