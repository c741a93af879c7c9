"""OpenAI's chat completions on the wire: the request's body and the reply's reading."""

import base64
import json
import re
from dataclasses import replace
from typing import Any

from spavl.chat.interface import ChatReply, ChatRequest, Sampling
from spavl.chat.reasoning import apart
from spavl.chat.saying_no import is_block, is_cut, tells_of_a_block
from spavl.chat.settings import OpenAISettings
from spavl.seeds import derive_seed
from spavl.storable import count_of, read_json, text_of

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
        settings.token_limit_field: sampling.max_new_tokens,
    }
    if settings.send_temperature:
        body["temperature"] = sampling.temperature
    # 1 is everybody's default; some models refuse the field, or both fields together.
    if sampling.top_p != 1 and settings.send_top_p:
        body["top_p"] = sampling.top_p
    if settings.send_seed:
        body["seed"] = derive_seed(sampling.seed, request.record_id) % _LARGEST_SEED
    text = json.dumps(body).encode()
    # A picture is large and needs no escaping, so it is put in last. No text can hold the mark:
    # in JSON its quotes would be escaped.
    return text.replace(_EMPTY_URL, _picture_url(request.image), 1) if request.image else text


class OtherModelError(ValueError):
    """An answer of a model that was not asked.

    Attributes:
        model: Its name.
    """

    def __init__(self, model: str, asked: str) -> None:
        super().__init__(f"answered by model {model!r}, not by {asked!r}")
        self.model = model


def read_completion(record_id: str, body: bytes, model: str = "") -> ChatReply:
    """Reads a completion, in any of the shapes that endpoints give it.

    A prompt that was blocked comes back as a reply that is `refused`, a whole body whose content is
    none as one with finish reason `error`: neither gets better by asking again.

    Args:
        record_id: The request's id.
        body: What the endpoint sent.
        model: Who should have answered; an empty text takes every answer.

    Raises:
        OtherModelError: It is another model's.
        ValueError: The body is no JSON, no chat completion, or tells of a fault of the endpoint.
    """
    content = read_json(body)
    if not isinstance(content, dict):
        raise ValueError("not a chat completion")
    choices = content.get("choices")
    if (error := content.get("error")) and not choices:
        return _fault(record_id, error)
    _check_model(text_of(content.get("model")) or model, model)
    if not choices and ("choices" in content or "promptFeedback" in content):
        return refused(record_id, _why_no_choice(content))
    if not isinstance(choices, list) or not isinstance(choices[0], dict):
        raise ValueError("not a chat completion: no list of choices")
    reply = _read_choice(record_id, choices[0])
    usage = content.get("usage")
    if isinstance(usage, dict):
        counts = (count_of(usage.get(f"{name}_tokens")) for name in ("prompt", "completion"))
        prompt, completion = counts
        return replace(reply, prompt_tokens=prompt, completion_tokens=completion)
    return reply


def _read_choice(record_id: str, choice: dict[str, Any]) -> ChatReply:
    ended = text_of(choice.get("finish_reason"))
    if is_block(ended):
        return refused(record_id, f"stopped by the endpoint's content filter ({ended})")
    if error := choice.get("error"):
        return _fault(record_id, error)
    if ended.casefold() == "error":
        raise ValueError("the endpoint failed while it answered")
    message = choice.get("message")
    if message is None:
        return refused(record_id, f"a choice without message ({ended or 'no reason given'})")
    if not isinstance(message, dict):
        raise ValueError("not a chat completion: the message is no object")
    text = _content(message.get("content"))
    if text is None:
        return not_served(record_id, "content is neither a text nor a list of parts")
    said = text.strip() or text_of(message.get("refusal")).strip()
    thought = text_of(message.get("reasoning_content")) or text_of(message.get("reasoning"))
    reply = ChatReply(record_id, said, "length" if is_cut(ended) else "stop", 0, 0)
    return apart(replace(reply, reasoning=thought.strip()))


def _content(content: Any) -> str | None:
    """The text of a message's content; None where it is of no known shape."""
    match content:
        case None:
            return ""
        case str():
            return content
        case {"text": str(text)}:
            return text
        case list():
            return "".join(map(_part, content))
    return None


def _part(part: Any) -> str:
    """The text of one part; thoughts, pictures and calls have none."""
    match part:
        case str():
            return part
        case {"type": "text" | "output_text", "text": str(text)}:
            return text
        case {"type": "refusal", "refusal": str(text)}:
            return text
        case {"text": str(text), **rest} if "type" not in rest and not rest.get("thought"):
            return text
    return ""


def _fault(record_id: str, error: Any) -> ChatReply:
    """What an error inside a body of status 200 comes to."""
    said = " ".join(json.dumps(error).split())[:400]
    if tells_of_a_block(error):
        return refused(record_id, said)
    raise ValueError(f"the endpoint failed: {said}")


def _why_no_choice(content: dict[str, Any]) -> str:
    feedback = content.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    return f"no choice in the answer ({text_of(reason) or 'no reason given'})"


def refused(record_id: str, detail: str) -> ChatReply:
    """The reply that stands for a prompt which the endpoint refuses or blocks."""
    return ChatReply(record_id, "", "error", 0, 0, detail, refused=True)


def not_served(record_id: str, detail: str) -> ChatReply:
    """The reply that stands for a request which the endpoint does not serve."""
    return ChatReply(record_id, "", "error", 0, 0, detail)


def _check_model(answered: str, asked: str) -> None:
    """Endpoints add folders, versions, dates to a name: one's words among the other's will do."""
    one, other = (set(_WORDS.findall(name.casefold())) for name in (answered, asked))
    if not (one <= other or other <= one):
        raise OtherModelError(answered, asked)


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
