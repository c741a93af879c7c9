"""Comparison of two answers by a VLM, through the chat interface: SPA-VL asks GPT-4V.

The answers are quoted as data (`quoting`), and the verdict must be one JSON object and nothing
else, so that a winner which an answer names is never read as the judge's. What cannot be read is
asked for again with another seed; after the last attempt the judge abstains.
"""

import json
from collections.abc import Sequence
from typing import Any, get_args

from spavl.chat.interface import ChatModel, ChatReply, ChatRequest, Message
from spavl.judges.interface import Abstention, Comparison, PairCase, Winner
from spavl.judges.quoting import quoted
from spavl.prompt_files import render
from spavl.records import record_id
from spavl.seeds import derive_seed
from spavl.settings.judges import PairwiseSettings

_SHOWN_OF_A_REPLY = 200
_LONGEST_REASON = 2000


class ChatPairwiseJudge:
    """A VLM that compares; see `BatchPairwiseJudge`.

    Args:
        chat: The model.
        settings: Its prompt and sampling.
        seed: Seed of the draws.
    """

    def __init__(self, chat: ChatModel, settings: PairwiseSettings, seed: int) -> None:
        self.judge_id = f"{chat.model_id}/{settings.prompt}"
        self._chat = chat
        self._settings = settings
        self._seed = seed

    def compare_all(self, cases: Sequence[PairCase]) -> list[Comparison | Abstention]:
        """One verdict per case, in their order."""
        verdicts: dict[str, Comparison | Abstention] = {}
        for attempt in range(self._settings.attempts):
            pending = [c for c in cases if not isinstance(verdicts.get(c.case_id), Comparison)]
            if not pending:
                break
            verdicts.update(self._ask(pending, attempt))
        return [verdicts[case.case_id] for case in cases]

    def _ask(self, cases: Sequence[PairCase], attempt: int) -> dict[str, Comparison | Abstention]:
        requests = {self._name(case, attempt): case for case in cases}
        sampling = self._settings.sampling.sampling(derive_seed(self._seed, "judge", str(attempt)))
        replies = self._chat.reply(
            [self._request(name, case) for name, case in requests.items()], sampling
        )
        return {requests[reply.record_id].case_id: _verdict(reply) for reply in replies}

    def _name(self, case: PairCase, attempt: int) -> str:
        return record_id("comparison", self.judge_id, case.case_id, str(attempt))

    def _request(self, name: str, case: PairCase) -> ChatRequest:
        texts = {"question": case.question, "first": case.first, "second": case.second}
        shown = {key: quoted(text, self._settings.max_characters) for key, text in texts.items()}
        prompt = render(__package__, self._settings.prompt, **shown)
        picture = case.image if self._settings.show_picture else None
        return ChatRequest(name, (Message("user", prompt),), picture)


def read_comparison(text: str) -> Comparison:
    """Reads a judge's verdict: one JSON object of a reason and a winner, in a code block or bare.

    Raises:
        ValueError: It is anything else, or says something twice.
    """
    bare = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        content = json.loads(bare, object_pairs_hook=_no_key_twice)
    except json.JSONDecodeError as error:
        raise ValueError("no JSON object") from error
    match content:
        case {"reason": str(reason), "better": str(better), **rest} if not rest:
            for winner in get_args(Winner):
                if better == winner and 0 < len(reason) <= _LONGEST_REASON:
                    return Comparison(winner, " ".join(reason.split()))
    raise ValueError("not a reason and a winner")


def _verdict(reply: ChatReply) -> Comparison | Abstention:
    if reply.finish_reason == "error":
        return Abstention("not served", reply.detail)
    if reply.finish_reason == "length":
        return Abstention("cut off", repr(reply.text[-_SHOWN_OF_A_REPLY:]))
    try:
        return read_comparison(reply.text)
    except ValueError as error:
        return Abstention("malformed", f"{error}: {reply.text[:_SHOWN_OF_A_REPLY]!r}")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key twice")
    return content
