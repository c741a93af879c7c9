"""OpenAI's chat completions on the wire: the request's body and the reply's reading."""

import base64
import json
from typing import Any

from spavl.chat.interface import ChatReply, ChatRequest, FinishReason, Sampling
from spavl.chat.settings import OpenAISettings
from spavl.seeds import derive_seed

_SIGNATURES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}
_LARGEST_SEED = 2**31
"""Endpoints keep seeds in 32 bits with a sign."""


def completion_body(
    request: ChatRequest, sampling: Sampling, settings: OpenAISettings
) -> dict[str, Any]:
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
    return body


def read_completion(record_id: str, body: bytes) -> ChatReply:
    """Reads a completion.

    Raises:
        ValueError: The body is no JSON or not a chat completion.
    """
    try:
        content = json.loads(body)
        choice = content["choices"][0]
        text = choice["message"].get("content") or ""
        usage = content.get("usage") or {}
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if not isinstance(text, str):
            raise TypeError("content is not a text")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"not a chat completion: {error!r}") from error
    if choice.get("finish_reason") == "content_filter":
        return turned_down(record_id, "stopped by the endpoint's content filter")
    reason: FinishReason = "length" if choice.get("finish_reason") == "length" else "stop"
    return ChatReply(record_id, text.strip(), reason, int(prompt or 0), int(completion or 0))


def turned_down(record_id: str, detail: str) -> ChatReply:
    """The reply that stands for a request which the endpoint refuses to serve."""
    return ChatReply(record_id, "", "error", 0, 0, detail)


def _messages(request: ChatRequest) -> list[dict[str, Any]]:
    picture = request.image
    turns: list[dict[str, Any]] = []
    for message in request.messages:
        if picture is not None and message.role == "user":
            url = {"type": "image_url", "image_url": {"url": _data_uri(picture)}}
            turns.append({"role": "user", "content": [url, {"type": "text", "text": message.text}]})
            picture = None
        else:
            turns.append({"role": message.role, "content": message.text})
    return turns


def _data_uri(picture: bytes) -> str:
    kinds = (kind for start, kind in _SIGNATURES.items() if picture.startswith(start))
    return f"data:{next(kinds, 'image/png')};base64,{base64.b64encode(picture).decode()}"
