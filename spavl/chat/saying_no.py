"""How endpoints say no to a prompt: blocks and refusals, which are no fault of anybody's."""

import json
import re
from typing import Any

_BLOCKED = re.compile(
    r"content.?filter|content.?policy|content.?management|responsible.?ai|data.?inspection|"
    r"moderation|flagged|safety|prohibited.?content|blocked|block.?reason|blocklist|recitation|"
    r"sensitive|harmful|jailbreak|guardrail|usage.?polic|unsafe|inappropriate|invalid_prompt",
    re.IGNORECASE,
)
_BLOCKS = {
    "content_filter", "content_filtered", "contentfilter", "safety", "recitation", "blocklist",
    "prohibited_content", "spii", "image_safety", "image_prohibited_content", "image_recitation",
    "refusal", "guardrail_intervened", "moderation", "language", "sensitive", "blocked",
}  # fmt: skip
_CUTS = {"length", "max_tokens", "model_length", "max_output_tokens", "model_context_window"}
_NOT_OF_A_PROMPT = re.compile(
    r"api.?key|unauthori[sz]ed|credential|permission|ip address|"
    r"(account|project|organi[sz]ation) ((has been|is|was) )?"
    r"(blocked|suspended|flagged|disabled|deactivated)|"
    r"(unknown|unsupported|unrecognized|invalid) (field|parameter|argument)|cloudfront|ray.?id",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"context.?(length|window)|reduce the length|(prompt|input|messages?)\b.{0,40}too (long|large)",
    re.IGNORECASE,
)


def tells_of_a_block(said: Any) -> bool:
    """Whether an endpoint's words, or its error's JSON, tell that the prompt was blocked."""
    words = said if isinstance(said, str) else json.dumps(said)
    return bool(_BLOCKED.search(words)) and not _NOT_OF_A_PROMPT.search(words)


def error_tells_of_a_block(body: str) -> bool:
    """Whether an HTTP error's body tells that; a page of something in between does not count."""
    return body.lstrip().startswith(("{", "[")) and tells_of_a_block(body)


def tells_of_length(said: str) -> bool:
    """Whether an endpoint turns a request down for its length, which is that request's own."""
    return bool(_TOO_LONG.search(said))


def is_block(finish_reason: str) -> bool:
    """Whether an answer's finish reason is a content filter's, by any provider's name."""
    return finish_reason.casefold() in _BLOCKS


def is_cut(finish_reason: str) -> bool:
    """Whether it is the token limit's."""
    return finish_reason.casefold() in _CUTS
