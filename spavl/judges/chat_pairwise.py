"""Comparison of two answers by a VLM, through the chat interface: SPA-VL asks GPT-4V.

The answers are quoted as data (`quoting`), and the verdict must stand alone on the last line
(`replies`), so that a winner which an answer names is never read as the judge's. What cannot be
read is asked for again with another seed; after the last attempt the judge abstains.
"""

from collections.abc import Sequence
from typing import get_args

from spavl.chat.interface import ChatModel, ChatReply, ChatRequest, Message
from spavl.judges.interface import Abstention, Comparison, PairCase, Winner
from spavl.judges.quoting import quoted
from spavl.judges.replies import NoVerdictError, read_word, reason_of, whole_text
from spavl.prompt_files import render
from spavl.records import record_id
from spavl.seeds import derive_seed
from spavl.settings.judges import PairwiseSettings

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
    """Reads a judge's verdict and the reason before it.

    Raises:
        NoVerdictError: There is none.
    """
    winner: Winner = read_word(text, get_args(Winner))  # type: ignore[assignment]
    reason = reason_of(text)[:_LONGEST_REASON]
    return Comparison(winner, reason or "no reason given")


def _verdict(reply: ChatReply) -> Comparison | Abstention:
    try:
        return read_comparison(whole_text(reply))
    except NoVerdictError as error:
        return Abstention(error.why, error.detail)
