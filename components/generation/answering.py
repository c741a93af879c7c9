"""One responder at work: requests, answers, flags."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property

from components.generation.flags import flags_of
from spavl.chat import ChatModel, ChatReply, ChatRequest, Message
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.records import REFUSED_BY_ENDPOINT as REFUSED
from spavl.records import Maker, Question, Response, SetAside, record_id
from spavl.seeds import derive_seed
from spavl.settings.responses import ResponderSettings
from spavl.storable import MARK


class Answerer:
    """Answers questions as one responder.

    Raises:
        InputError: The responder's persona is not known.
    """

    def __init__(
        self, responder: ResponderSettings, chat: ChatModel, seed: int, keep_refusals: bool = False
    ) -> None:
        self.responder = responder
        self._keep_refusals = keep_refusals
        self._chat = chat
        self._system = _system_prompt(responder)
        self._sampling = responder.sampling.sampling(derive_seed(seed, "responses", responder.id))

    def answers(
        self, questions: Sequence[Question], store: ImageStore, counts: Counter[str]
    ) -> Iterator[Response | SetAside]:
        """Answers a block of questions, in the order of the questions.

        Args:
            questions: The block.
            store: Where their pictures are.
            counts: Told answers, tokens and flags.
        """
        pictures = {name: store.content(name) for name in _distinct(questions)}
        asked = {self._response_id(q): q for q in questions}
        requests = [
            ChatRequest(name, self._messages(question), pictures[question.image_id])
            for name, question in asked.items()
        ]
        replies = {reply.record_id: reply for reply in self._chat.reply(requests, self._sampling)}
        if lost := sum(reply.lost_calls for reply in replies.values()):
            counts["lost_calls"] += lost
        for name, question in asked.items():
            record = self._record(replies[name], question)
            _count(record, counts)
            yield record

    def _response_id(self, question: Question) -> str:
        return record_id("response", question.question_id, self.responder.id)

    def _messages(self, question: Question) -> tuple[Message, ...]:
        asked = Message("user", question.text)
        return (Message("system", self._system), asked) if self._system else (asked,)

    def _record(self, reply: ChatReply, question: Question) -> Response | SetAside:
        if reply.finish_reason == "error" and not (reply.refused and self._keep_refusals):
            reason = f"{'refused' if reply.refused else 'not served'} by the endpoint"
            return SetAside(reply.record_id, "responses", reason, reply.detail)
        return Response(
            response_id=reply.record_id,
            question_id=question.question_id,
            image_id=question.image_id,
            responder=self.responder.id,
            text=reply.text,
            finish_reason=REFUSED if reply.refused else reply.finish_reason,
            flags=[REFUSED] if reply.refused else flags_of(reply.text, reply.finish_reason),
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            maker=self._maker,
        )

    @cached_property
    def _maker(self) -> Maker:
        persona = self.responder.persona
        return Maker(
            self._chat.model_id, f"persona:{persona}" if persona else None, self._sampling.to_json()
        )


def _system_prompt(responder: ResponderSettings) -> str | None:
    if responder.persona is None:
        return responder.system
    from spavl.pocket.texts import persona

    try:
        return persona(responder.persona).system
    except KeyError as error:
        raise InputError(
            str(error.args[0]), f"responses.responders.{responder.id}", "correct persona"
        ) from None


def _distinct(questions: Sequence[Question]) -> list[str]:
    return list(dict.fromkeys(question.image_id for question in questions))


def _count(record: Response | SetAside, counts: Counter[str]) -> None:
    if isinstance(record, SetAside):
        counts["set asides"] += 1
        if record.reason == "refused by the endpoint":
            counts[REFUSED] += 1
        return
    counts["answers"] += 1
    counts["prompt_tokens"] += record.prompt_tokens
    counts["completion_tokens"] += record.completion_tokens
    counts.update(record.flags)
    if MARK in record.text:
        counts["answers with U+FFFD"] += 1
