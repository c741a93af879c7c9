"""Moderation by a model that was trained for it, through the chat interface.

Formats (`formats.yaml`) say how such a model is asked, whether it looks at the picture, and which
codes of categories it may name. A long answer is judged in overlapping windows, the worst of which
counts. What is no verdict (`replies`) is an abstention, which is neither safe nor unsafe.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from spavl.chat.interface import ChatModel, ChatReply, ChatRequest, Message
from spavl.judges.interface import Abstention, AnswerCase, Moderation
from spavl.judges.quoting import quoted, windows
from spavl.judges.refusals import refused
from spavl.judges.replies import NoVerdictError, read_moderation, whole_text
from spavl.judges.texts import garbled
from spavl.prompt_files import render
from spavl.records import record_id
from spavl.settings.judges import ModeratorSettings


class ChatModerator:
    """A moderation model; see `BatchModerator`.

    Args:
        chat: The model.
        settings: Its format and sampling.
        seed: Seed of the draws.
    """

    def __init__(self, chat: ChatModel, settings: ModeratorSettings, seed: int) -> None:
        self.judge_id = f"{chat.model_id}/{settings.format}"
        self._chat = chat
        self._settings = settings
        self._format = formats()[settings.format]
        self._sampling = settings.sampling.sampling(seed)

    def moderate_all(self, cases: Sequence[AnswerCase]) -> list[Moderation | Abstention]:
        """One finding per case, in their order."""
        requests = [list(self._requests(case)) for case in cases]
        asked = [request for each in requests for request in each]
        replies = {reply.record_id: reply for reply in self._chat.reply(asked, self._sampling)}
        return [
            _worst([_finding(replies[r.record_id], case.answer, self._format) for r in each])
            for case, each in zip(cases, requests, strict=True)
        ]

    def _requests(self, case: AnswerCase) -> Iterator[ChatRequest]:
        """One request for each window of the answer."""
        limit = self._settings.max_characters
        question = quoted(case.question, limit)
        picture = case.image if sees_pictures(self._settings) else None
        for place, window in enumerate(windows(case.answer, limit)):
            name = record_id("moderation", self.judge_id, case.case_id, str(place))
            yield ChatRequest(name, self._messages(question, window or "(no answer)"), picture)

    def _messages(self, question: str, answer: str) -> tuple[Message, ...]:
        prompt = self._format["prompt"]
        if prompt is None:
            return Message("user", question), Message("assistant", answer)
        return (Message("user", render(__package__, prompt, question=question, answer=answer)),)


@cache
def formats() -> dict[str, dict[str, Any]]:
    """The formats by name and version."""
    text = (files(__package__) / "formats.yaml").read_text(encoding="utf-8")
    content: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return content


def sees_pictures(settings: ModeratorSettings) -> bool:
    """Whether a moderator of these settings looks at pictures."""
    return bool(formats()[settings.format]["picture"])


def _finding(reply: ChatReply, answer: str, form: dict[str, Any]) -> Moderation | Abstention:
    try:
        safe, codes = read_moderation(whole_text(reply), form)
    except NoVerdictError as error:
        return Abstention(error.why, error.detail)
    # Whether it refuses is read off the answer itself: the model is asked for harm only.
    refuses = safe and refused(answer)
    violated = f"violates {', '.join(codes)}" if codes else "unsafe, of no known category"
    return Moderation(safe, refuses, not garbled(answer), "judged safe" if safe else violated)


def _worst(findings: Sequence[Moderation | Abstention]) -> Moderation | Abstention:
    """Unsafe, if one window is; no verdict, if one window has none; else safe."""
    unsafe = [each for each in findings if isinstance(each, Moderation) and not each.safe]
    silent = [each for each in findings if isinstance(each, Abstention)]
    return next(iter((*unsafe, *silent, *findings)))
