"""A judge that is a model: asks it by template and reads its verdict.

The templates lie in `templates/`, with the words a judge may use in `verdicts.yaml`. What is no
verdict stays apart from verdicts: `abstained` (it says that it is unsure), `unparsed` (none of its
words), `unreached` (no answer at all, e.g. after time-outs; it is then asked no more).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from components.evaluation.judging import Judged, Pictures, help_verdict, score_of, task_of
from components.evaluation.metrics import HELP
from components.evaluation.scenarios import rubric_of
from spavl.chat import ChatModel, ChatRequest, Message, Sampling
from spavl.errors import InputError, SpavlError
from spavl.judges.quoting import quoted
from spavl.records import EvalAnswer, EvalItem, EvalVerdict

_VERDICT = re.compile(r"\bverdict\W{1,4}(\w+)", re.IGNORECASE)
_REASON_CHARACTERS = 200
_SHOWN_CHARACTERS = 8000  # longer answers lose their middle
_SILENT = ("unreached", "unparsed", "abstained")


class ChatJudge:
    """Judges by asking a chat model.

    Args:
        judge_id: Names the judge in figures.
        chat: The model.
        pictures: The encoded picture of an id.
        sampling: How its verdicts are drawn.
        base_help: The base's answers to help items, which every model is compared with.
    """

    def __init__(
        self,
        judge_id: str,
        chat: ChatModel,
        pictures: Pictures,
        sampling: Sampling,
        base_help: Mapping[str, str],
    ) -> None:
        self.judge_id = f"{judge_id}/{chat.model_id}/templates-{_words()['version']}"
        self._chat = chat
        self._pictures = pictures
        self._sampling = sampling
        self._base_help = base_help
        self._gone = ""

    def verdicts(self, judged: Sequence[Judged]) -> Iterator[EvalVerdict]:
        """One verdict an answer, in order; naming and photographs are not for this judge."""
        mine = [(item, answer) for item, answer in judged if task_of(item) is not None]
        requests = [request for pair in mine for request in self._requests(*pair)]
        said = self._replies(requests)
        for item, answer in mine:
            yield self._verdict(item, answer, said)

    def _requests(self, item: EvalItem, answer: EvalAnswer) -> Iterator[ChatRequest]:
        picture = None if item.image_id is None else self._pictures(item.image_id)
        other = self._base_help.get(item.item_id, "")
        texts = [(answer.text, other)]
        if item.benchmark in HELP:
            texts.append((other, answer.text))
        for place, (first, second) in enumerate(texts):
            prompt = _render(_template(item), item.question, first, second)
            yield ChatRequest(self._asked(answer, place), (Message("user", prompt),), picture)

    def _asked(self, answer: EvalAnswer, place: int) -> str:
        """A request's name; judges share a journal, so it names the judge too."""
        return f"{self.judge_id} {answer.answer_id} {place}"

    def _replies(self, requests: Sequence[ChatRequest]) -> dict[str, str]:
        """What was said, by request; what could not be had is not in it."""
        said: dict[str, str] = {}
        if self._gone:
            return said
        try:
            for reply in self._chat.reply(requests, self._sampling):
                if reply.finish_reason != "error":
                    said[reply.record_id] = reply.text
        except InputError:
            raise
        except SpavlError as error:
            self._gone = str(error)
        return said

    def _verdict(self, item: EvalItem, answer: EvalAnswer, said: Mapping[str, str]) -> EvalVerdict:
        words = _words()[_template(item)]
        heard = [said.get(self._asked(answer, place)) for place in range(2)]
        read = [_read(text, words) for text in heard[: 2 if item.benchmark in HELP else 1]]
        silent = next((each for each in read if each in _SILENT), "")
        if silent:
            outcome, score = silent, None
        elif item.benchmark in HELP:
            outcome, score = help_verdict(read[0], read[1])
        else:
            outcome, score = read[0], score_of(item, read[0])
        reason = self._gone if silent == "unreached" else " | ".join(filter(None, heard))
        return EvalVerdict(
            answer.answer_id,
            item.item_id,
            item.benchmark,
            answer.model,
            outcome,
            score,
            " ".join(reason.split())[:_REASON_CHARACTERS],
        )


def _read(text: str | None, words: Mapping[str, str]) -> str:
    """The outcome that a reply's last verdict stands for."""
    if text is None:
        return "unreached"
    said = [word.casefold() for word in _VERDICT.findall(text)]
    if not said:
        return "unparsed"
    return "abstained" if said[-1] == "unsure" else words.get(said[-1], "unparsed")


def _template(item: EvalItem) -> str:
    if item.benchmark in HELP:
        return "help"
    return "compliance" if task_of(item) == "compliance" else rubric_of(item.class3)


def _render(template: str, question: str, answer: str, other: str) -> str:
    texts = {"question": question, "answer": answer, "other": other}
    shown = {name: quoted(text, _SHOWN_CHARACTERS) for name, text in texts.items()}
    return str(_compiled(template).render(shown)).strip()


@lru_cache(maxsize=16)
def _compiled(template: str) -> Any:
    from jinja2 import Environment, StrictUndefined

    # Plain text for a model; its reply is data that the report escapes.
    environment = Environment(autoescape=False, undefined=StrictUndefined)
    text = (files(__package__) / "templates" / f"{template}.jinja").read_text(encoding="utf-8")
    return environment.from_string(text)


@lru_cache(maxsize=1)
def _words() -> dict[str, Any]:
    text = (files(__package__) / "templates" / "verdicts.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content
