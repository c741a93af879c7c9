"""Endpoints say no in many ways: each comes out as what it is, after one call where that does."""

import json
from collections import Counter

import pytest
from aiohttp import web

from spavl.chat import ChatRequest, Message, Sampling
from spavl.chat.health import EndpointError
from spavl.chat.journal import Journal as PlainJournal
from spavl.chat.openai_backend import OpenAIChat
from spavl.chat.openai_wire import read_completion
from spavl.chat.settings import OpenAISettings
from spavl.errors import InputError
from spavl.storable import MARK
from tests.unit.chat.conftest import completion, last_text

GREEDY = Sampling(max_new_tokens=8, temperature=0.0)


def settings(url, **changes):
    fast = {"backoff_seconds": 0.01, "timeout_seconds": 5, "max_attempts": 3, **changes}
    return OpenAISettings(backend="openai", base_url=url, **{"model": "m", **fast})


def ask(url, count, **changes):
    requests = [ChatRequest(f"r{i}", (Message("user", f"q{i}"),)) for i in range(count)]
    return list(OpenAIChat(settings(url, **changes)).reply(requests, GREEDY))


def choice(**fields):
    return 200, {"model": "m", "choices": [{"index": 0, **fields}]}


def said(content, **fields):
    return choice(message={"role": "assistant", "content": content}, **fields)


REFUSED = {
    "azure-400": (400, {"error": {"code": "content_filter", "message": "ResponsibleAIPolicy"}}),
    "openai-400": (400, {"error": {"code": "content_policy_violation"}}),
    "qwen-400": (400, {"code": "data_inspection_failed", "message": "inappropriate content"}),
    "openai-invalid-prompt": (
        400,
        {"error": {"code": "invalid_prompt", "message": "usage policy"}},
    ),
    "openrouter-403": (403, {"error": {"metadata": {"reasons": ["x"], "flagged_input": "..."}}}),
    "bedrock-403": (403, {"message": "Guardrail intervened"}),
    "422-moderation": (422, {"detail": "moderation: unsafe input"}),
    "400-with-a-warning": (
        400,
        {"error": {"message": "Flagged by moderation; again, and your account is at risk"}},
    ),
    "403-of-a-project": (403, {"error": {"message": "Blocked by the safety rules of project 7"}}),
    "451": (451, {"error": "no"}),
    "451-without-body": (451, ""),
    "no-choices": (200, {"choices": [], "promptFeedback": {"blockReason": "SAFETY"}}),
    "null-choices": (200, {"choices": None}),
    "only-feedback": (200, {"promptFeedback": {"blockReason": "OTHER"}}),
    "feedback-as-text": (200, {"promptFeedback": "blocked"}),
    "null-message": choice(message=None, finish_reason="stop"),
    "no-message": choice(finish_reason=None),
    "safety": choice(message=None, finish_reason="SAFETY"),
    "recitation": said("half", finish_reason="RECITATION"),
    "prohibited": said(None, finish_reason="PROHIBITED_CONTENT"),
    "spii": said("", finish_reason="SPII"),
    "content-filter": said("half", finish_reason="content_filter"),
    "upstream-moderation": choice(error={"message": "flagged by moderation"}),
    "200-error-body": (200, {"error": {"message": "blocked by safety settings"}}),
}
ANSWERED = {
    "refusal": (choice(message={"content": None, "refusal": "I won't."}), "I won't.", "stop"),
    "refusal-part": (said([{"type": "refusal", "refusal": "No."}]), "No.", "stop"),
    "parts": (said([{"type": "thinking", "thinking": "h"}, {"type": "text", "text": "A"}]), "A",
              "stop"),
    "output-parts": (said([{"type": "output_text", "text": "A"}, "B"]), "AB", "stop"),
    "thought-part": (said([{"text": "hm", "thought": True}, {"text": "A"}]), "A", "stop"),
    "no-text-part": (said([{"type": "image_url", "image_url": {}}]), "", "stop"),
    "odd-parts": (said([None, 3, [], {"type": "text", "text": 4}]), "", "stop"),
    "reasoning-beside": (choice(message={"content": "A", "reasoning_content": "h"}), "A", "stop"),
    "MAX_TOKENS": (said("A", finish_reason="MAX_TOKENS"), "A", "length"),
    "model_length": (said("A", finish_reason="model_length"), "A", "length"),
    "odd-reason": (said("A", finish_reason={"x": 1}), "A", "stop"),
    "half-emoji": (said("cut \ud83d"), f"cut {MARK}", "stop"),
    "nul": (said("a\x00b"), f"a{MARK}b", "stop"),
}  # fmt: skip


def serve(endpoint, replies, times=10**9):
    """Answers with these in turn, by row; returns how often each row was asked."""
    asked = Counter()

    async def handle(request):
        row = last_text(await request.json())
        asked[row] += 1
        status, body = replies.get(row, (200, {**completion("fine"), "model": "m"}))
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, body=text.encode("utf-8", "surrogatepass"),
                            content_type="application/json")  # fmt: skip

    endpoint.handle_instead = handle
    return asked


@pytest.mark.parametrize("name", REFUSED)
def test_a_block_of_every_row_is_a_refusal_of_each_after_one_call(endpoint, name):
    asked = serve(endpoint, {f"q{i}": REFUSED[name] for i in range(20)})
    replies = ask(endpoint.url, 20)
    assert all(reply.refused and reply.finish_reason == "error" for reply in replies)
    assert all(reply.detail for reply in replies)
    assert set(asked.values()) == {1}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, "<html><h1>Sorry, you have been blocked</h1>Cloudflare Ray ID: 7</html>"),
        (403, "<html><h1>403 ERROR</h1>Request blocked. Generated by cloudfront</html>"),
        (403, {"error": {"message": "Your account has been blocked"}}),
        (403, {"error": {"message": "Project flagged for abuse"}}),
        (400, {"error": {"message": "Unknown field: safety_identifier"}}),
    ],
)
def test_what_blocks_everybody_is_no_refusal_of_a_row(endpoint, status, body):
    serve(endpoint, {f"q{i}": (status, body) for i in range(200)})
    with pytest.raises((InputError, EndpointError)):
        ask(endpoint.url, 200)


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 4096 tokens, you requested 5000",
        "prompt is too long for max_tokens 256",
        "Please reduce the length of the messages or max_completion_tokens",
    ],
)
def test_a_row_that_is_too_long_is_that_rows_fault(endpoint, said):
    serve(endpoint, {f"q{i}": (400, {"error": {"message": said}}) for i in range(40)})
    replies = ask(endpoint.url, 60, max_set_aside=1)
    assert sum(reply.finish_reason == "stop" for reply in replies) == 20


@pytest.mark.parametrize("name", ANSWERED)
def test_an_answer_of_any_shape_is_read_after_one_call(endpoint, name):
    answer, text, reason = ANSWERED[name]
    asked = serve(endpoint, {"q0": answer})
    (reply,) = ask(endpoint.url, 1)
    assert (reply.text, reply.finish_reason, reply.refused) == (text, reason, False)
    assert asked == {"q0": 1}


@pytest.mark.parametrize("status", [409, 424, 425, 498, 499, 401, 404, 520])
def test_one_row_that_fails_is_set_aside_once_others_were_served(endpoint, status):
    asked = serve(endpoint, {"q39": (status, {"error": "failed"})})
    replies = {reply.record_id: reply for reply in ask(endpoint.url, 40, concurrency=1)}
    assert replies["r39"].finish_reason == "error"
    assert not replies["r39"].refused
    assert asked["q39"] == 3
    assert sum(reply.finish_reason == "stop" for reply in replies.values()) == 39


@pytest.mark.parametrize(
    ("status", "body", "line"),
    [
        (401, "no", "api_key_env"),
        (403, "this key may not", "api_key_env"),
        (404, "no such model", "base_url or model"),
        (405, "no", "chat completions endpoint"),
        (400, "temperature and top_p cannot both be specified", "send_temperature or send_top_p"),
        (400, "unsupported parameter max_tokens", "token_limit_field"),
    ],
)
def test_what_all_requests_share_ends_the_stage_with_its_remedy(endpoint, status, body, line):
    asked = serve(endpoint, {f"q{i}": (status, body) for i in range(200)})
    with pytest.raises(InputError, match=line) as caught:
        ask(endpoint.url, 200, concurrency=4)
    assert caught.value.exit_code == 2
    assert asked.total() < 100


def test_no_credit_is_told_as_that(endpoint):
    serve(endpoint, {f"q{i}": (402, "insufficient") for i in range(40)})
    with pytest.raises(EndpointError, match="no credit") as caught:
        ask(endpoint.url, 40)
    assert caught.value.exit_code == 75


def test_a_redirect_is_told_and_never_followed_with_the_key(endpoint):
    async def handle(_):
        return web.Response(status=307, headers={"Location": "http://elsewhere/v2"})

    endpoint.handle_instead = handle
    with pytest.raises(InputError, match="leads on to http://elsewhere/v2"):
        ask(endpoint.url, 20)


def test_an_alias_is_told_at_once_with_what_to_set(endpoint):
    asked = serve(endpoint, {f"q{i}": (200, {**completion("x"), "model": "n"}) for i in range(200)})
    with pytest.raises(InputError, match="set expected_model to n"):
        ask(endpoint.url, 200, concurrency=4)
    assert asked.total() < 100


def test_the_share_of_lost_rows_ends_the_stage_and_refusals_are_none(endpoint):
    replies = {f"q{i}": REFUSED["safety"] for i in range(90)}
    serve(endpoint, replies)
    assert len(ask(endpoint.url, 100)) == 100
    serve(endpoint, {f"q{i}": (400, "image too small") for i in range(90)})
    with pytest.raises(EndpointError, match=r"max_set_aside 0\.2"):
        ask(endpoint.url, 100)
    assert len(ask(endpoint.url, 100, max_set_aside=1)) == 100


def test_top_p_is_sent_only_where_it_says_something_and_fields_can_be_left_out(endpoint):
    request = [ChatRequest("r", (Message("user", "q"),))]
    for changes in ({}, {"send_temperature": False, "send_top_p": False}):
        for top_p in (1.0, 0.9):
            list(OpenAIChat(settings(endpoint.url, **changes)).reply(
                request, Sampling(8, 0.5, top_p)))  # fmt: skip
    sent = [{"temperature", "top_p"} & set(body) for body in endpoint.bodies]
    assert sent == [{"temperature"}, {"temperature", "top_p"}, set(), set()]


def test_usage_is_a_hint():
    for usage in ('{"prompt_tokens": 1e999}', '{"prompt_tokens": 1e308}', "[]", '"x"', "NaN"):
        body = f'{{"choices": [{{"message": {{"content": "x"}}}}], "usage": {usage}}}'
        assert read_completion("r", body.encode()).prompt_tokens == 0


def test_a_journal_of_before_with_half_an_emoji_can_be_gone_on_from(tmp_path):
    line = {"record_id": "r", "text": "cut \ud83d", "finish_reason": "stop",
            "prompt_tokens": 10**308, "completion_tokens": 2, "detail": ""}  # fmt: skip
    (tmp_path / "j").write_text(json.dumps(line) + "\n")
    with PlainJournal(tmp_path / "j") as journal:
        assert (journal.get("r").text, journal.get("r").prompt_tokens) == (f"cut {MARK}", 0)
