"""Reasoning apart from answers: what a model thinks is no part of what it says.

Endpoints hand reasoning on in a field of its own, or leave it in the text between a model's own
delimiters. Delimiters count where they begin a line, so that an answer may speak of a tag. A block
that is never closed was cut at the token limit; what closes without having been opened was opened
by the model's prompt, so all before it is reasoning.
"""

import re
from dataclasses import replace

from spavl.chat.interface import ChatReply

_DELIMITERS = (
    ("<think>", "</think>"),  # DeepSeek-R1, Qwen3, GLM-V and most others
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi-VL
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),  # gpt-oss
)
_OPENS = re.compile(
    r"^[ \t]*(" + "|".join(re.escape(o) for o, _ in _DELIMITERS) + ")", re.MULTILINE
)
_CLOSES = re.compile("|".join(re.escape(closing) for _, closing in _DELIMITERS))
_CLOSING = dict(_DELIMITERS)


def apart(reply: ChatReply) -> ChatReply:
    """The reply with its reasoning beside its text; one that is all answer comes back as it is.

    A reply whose reasoning never ends has the finish reason `length`, whatever the endpoint says.
    """
    answer, thoughts, closed = _split(reply.text)
    if not thoughts:
        return reply
    reasoning = "\n\n".join(filter(None, (reply.reasoning, *thoughts)))
    reason = reply.finish_reason if closed else "length"
    return replace(reply, text=answer, reasoning=reasoning, finish_reason=reason)


def _split(text: str) -> tuple[str, list[str], bool]:
    """Answer, blocks of reasoning, and whether the last of them was closed."""
    answer, thoughts = "", list[str]()
    begin, end = _OPENS.search(text), _CLOSES.search(text)
    if end and (begin is None or end.start() < begin.start()):
        thoughts.append(text[: end.start()].strip())
        text = text[end.end() :]
    while begin := _OPENS.search(text):
        closing = _CLOSING[begin.group(1)]
        answer += text[: begin.start()]
        thought, found, text = text[begin.end() :].partition(closing)
        thoughts.append(thought.strip())
        if not found:
            return answer.strip(), thoughts, False
    return (answer + text).strip() if thoughts else text, thoughts, True
