"""OpenAI's chat completions on the wire: the request's body and the reply's reading."""

import base64
import json
import re
from typing import Any

from spavl.chat.interface import ChatReply, ChatRequest, FinishReason, Sampling
from spavl.chat.settings import OpenAISettings
from spavl.seeds import derive_seed

_SIGNATURES = {
    b"\x89PNG": b"image/png",
    b"\xff\xd8": b"image/jpeg",
    b"GIF8": b"image/gif",
    b"RIFF": b"image/webp",
}
_WORDS = re.compile(r"[a-z0-9]+")
_EMPTY_URL = b'{"url": ""}'
_LARGEST_SEED = 2**31
"""Endpoints keep seeds in 32 bits with a sign."""


def completion_body(request: ChatRequest, sampling: Sampling, settings: OpenAISettings) -> bytes:
    """The JSON body that asks for one completion; every record has a seed of its own."""
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": _messages(request),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        settings.token_limit_field: sampling.max_new_tokens,
    }
    if settings.send_seed:
        body["seed"] = derive_seed(sampling.seed, request.record_id) % _LARGEST_SEED
    text = json.dumps(body).encode()
    # A picture is large and needs no escaping, so it is put in last. No text can hold the mark:
    # in JSON its quotes would be escaped.
    return text.replace(_EMPTY_URL, _picture_url(request.image), 1) if request.image else text


def read_completion(record_id: str, body: bytes, model: str = "") -> ChatReply:
    """Reads a completion.

    Args:
        record_id: The request's id.
        body: What the endpoint sent.
        model: Who should have answered; an empty text takes every answer.

    Raises:
        ValueError: The body is no JSON, not a chat completion, or another model's.
    """
    try:
        content = json.loads(body)
        choice = content["choices"][0]
        text = choice["message"].get("content") or ""
        usage = content.get("usage") or {}
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if not isinstance(text, str):
            raise TypeError("content is not a text")
        _check_model(str(content.get("model") or model), model)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"not a chat completion: {error!r}") from error
    if choice.get("finish_reason") == "content_filter":
        return not_served(record_id, "stopped by the endpoint's content filter")
    reason: FinishReason = "length" if choice.get("finish_reason") == "length" else "stop"
    return ChatReply(record_id, text.strip(), reason, int(prompt or 0), int(completion or 0))


def not_served(record_id: str, detail: str) -> ChatReply:
    """The reply that stands for a request which the endpoint does not serve."""
    return ChatReply(record_id, "", "error", 0, 0, detail)


def _check_model(answered: str, asked: str) -> None:
    """Endpoints add folders, versions, dates to a name: one's words among the other's will do."""
    one, other = (set(_WORDS.findall(name.casefold())) for name in (answered, asked))
    if not (one <= other or other <= one):
        raise ValueError(f"answered by model {answered!r}, not by {asked!r}")


def _messages(request: ChatRequest) -> list[dict[str, Any]]:
    picture = request.image
    turns: list[dict[str, Any]] = []
    for message in request.messages:
        if picture is not None and message.role == "user":
            shown = {"type": "image_url", "image_url": {"url": ""}}
            asked = {"type": "text", "text": message.text}
            turns.append({"role": "user", "content": [shown, asked]})
            picture = None
        else:
            turns.append({"role": message.role, "content": message.text})
    return turns


def _picture_url(picture: bytes) -> bytes:
    kinds = (kind for start, kind in _SIGNATURES.items() if picture.startswith(start))
    start = b'{"url": "data:%s;base64,' % next(kinds, b"image/png")
    return start + base64.b64encode(picture) + b'"}'
