"""The writer: three questions for each picture, asked for again where they do not fit."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from components.generation.parsing import Malformed, parse_question, same_text_key
from components.generation.prompts import render
from spavl.chat import ChatModel, ChatReply, ChatRequest, Message, Sampling
from spavl.records import QUESTION_KINDS, Maker, Question, SetAside, record_id
from spavl.seeds import derive_seed
from spavl.settings.questions import QuestionsSettings


@dataclass(frozen=True)
class Picture:
    """What the writer is shown: no class, no truth."""

    image_id: str
    content: bytes
    caption: str


@dataclass(frozen=True)
class _Order:
    """One question to be written."""

    picture: Picture
    kind: str

    @property
    def question_id(self) -> str:
        return record_id("question", self.picture.image_id, self.kind)


class Writer:
    """Writes questions with one model and one version of the prompts."""

    def __init__(self, chat: ChatModel, settings: QuestionsSettings) -> None:
        self._chat = chat
        self._settings = settings

    def questions(
        self, pictures: Sequence[Picture], counts: Counter[str]
    ) -> Iterator[Question | SetAside]:
        """The questions about a block of pictures, in the order of the pictures and kinds.

        Args:
            pictures: The block.
            counts: Told why texts were asked for again.
        """
        orders = [_Order(picture, kind) for picture in pictures for kind in QUESTION_KINDS]
        written: dict[_Order, Question] = {}
        problems: dict[_Order, str] = {}
        for attempt in range(self._settings.attempts):
            pending = [order for order in orders if order not in written]
            if not pending:
                break
            problems = self._try(pending, attempt, written)
            counts.update(f"asked again: {problem}" for problem in problems.values())
        for order in orders:
            if order in written:
                yield written[order]
            else:
                detail = f"{order.kind} of {order.picture.image_id}"
                yield SetAside(order.question_id, "questions", problems[order], detail)

    def _try(
        self, pending: Sequence[_Order], attempt: int, written: dict[_Order, Question]
    ) -> dict[_Order, str]:
        """Asks once for all pending questions; returns what is wrong with those that do not fit."""
        sampling = self._settings.writing_sampling.sampling(
            derive_seed(self._settings.seed, "questions", str(attempt))
        )
        requests = [self._request(order, attempt) for order in pending]
        replies = {reply.record_id: reply for reply in self._chat.reply(requests, sampling)}
        taken = {(q.image_id, same_text_key(q.text)) for q in written.values()}
        problems = {}
        for order, request in zip(pending, requests, strict=True):
            try:
                text = self._read(replies[request.record_id], order, taken)
            except Malformed as error:
                problems[order] = str(error)
                continue
            taken.add((order.picture.image_id, same_text_key(text)))
            written[order] = self._record(order, text, sampling)
        return problems

    def _request(self, order: _Order, attempt: int) -> ChatRequest:
        prompt = render(
            self._template(order),
            caption=order.picture.caption,
            max_characters=self._settings.max_characters,
        )
        name = record_id("writing", order.question_id, str(attempt))
        picture = order.picture.content if self._settings.show_picture else None
        return ChatRequest(name, (Message("user", prompt),), picture)

    def _read(self, reply: ChatReply, order: _Order, taken: set[tuple[str, str]]) -> str:
        if reply.finish_reason == "error":
            what = "refused" if reply.refused else "not served"
            raise Malformed(f"{what} by the endpoint")
        if reply.finish_reason == "length":
            raise Malformed("cut off")
        text = parse_question(reply.text, order.kind, self._settings.max_characters)
        if (order.picture.image_id, same_text_key(text)) in taken:
            raise Malformed("duplicate")
        return text

    def _record(self, order: _Order, text: str, sampling: Sampling) -> Question:
        maker = Maker(self._chat.model_id, self._template(order), sampling.to_json())
        picture = order.picture
        return Question(
            order.question_id, picture.image_id, order.kind, text, picture.caption, maker
        )

    def _template(self, order: _Order) -> str:
        return f"{order.kind}.{self._settings.writing_version}"
