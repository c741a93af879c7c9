"""The calls that make a data set: captions, questions, answers, moderation, both orders of judging.

Every picture is usable and repeats no other, every question fits at the first attempt, every answer
is served and judged, and every question gives as many pairs as are asked for. Where less comes of
it, less is paid; a judge or writer that has to be asked again is paid again.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from components.generation.answering import Answerer
from components.generation.captions import Captioner
from components.generation.writing import Picture, Writer
from pipelines.planning.counting import Books, CountingChat, characters_per_token, filler
from pipelines.planning.lengths import sampled
from spavl.images import ImageStore
from spavl.judges import AnswerCase, PairCase, Shown
from spavl.judges.chat_moderation import ChatModerator, sees_pictures
from spavl.judges.chat_pairwise import ChatPairwiseJudge
from spavl.records import QUESTION_KINDS, Maker, Question, Response, record_id
from spavl.settings.labeling import LabelingSettings
from spavl.settings.questions import QuestionsSettings
from spavl.settings.responses import ResponderSettings, ResponsesSettings

MOST_PICTURES = 20
"""Of the sample; all pictures are asked about alike."""
PICTURE = b"picture"
UNKNOWN = Shown("unknown")


@dataclass(frozen=True)
class DataSettings:
    """Settings of the stages that make a data set."""

    questions: QuestionsSettings
    responses: ResponsesSettings
    labeling: LabelingSettings


class _Store(ImageStore):
    """Holds every picture, and none is looked at."""

    def __init__(self) -> None:
        """Opens nothing."""

    def content(self, image_id: str) -> bytes:
        return PICTURE


@dataclass(frozen=True)
class DataStages:
    """Counts the calls of all stages that make a data set.

    Attributes:
        settings: Their settings.
        pictures: How many pictures there are.
        books: Where calls are entered.
    """

    settings: DataSettings
    pictures: int
    books: Books

    def count(self) -> None:
        """Enters all calls."""
        if not self.pictures:
            return
        names = [f"picture {number}" for number in range(min(self.pictures, MOST_PICTURES))]
        weight = self.pictures / len(names)
        questions = self._questions(names, weight)
        answers = {
            responder.id: self._answers(responder, questions, weight)
            for responder in self.settings.responses.responders
        }
        self._moderation(questions, [each for some in answers.values() for each in some], weight)
        self._judging(questions, list(answers.values()), weight)

    def _questions(self, names: Sequence[str], weight: float) -> list[Question]:
        settings = self.settings.questions
        captioning = sampled("caption", settings.caption_sampling)
        writing = sampled("question", settings.writing_sampling)
        captioner = CountingChat("questions", settings.captioner, captioning, self.books)
        writer = CountingChat("questions", settings.writer, writing, self.books)
        captioner.weight = writer.weight = weight
        pictures = dict.fromkeys(names, PICTURE)
        captions = Captioner(captioner, settings).captions(pictures, Counter())
        shown = [Picture(name, PICTURE, captions[name]) for name in names]
        once = settings.model_copy(update={"attempts": 1})  # what is said fits no kind
        for _ in Writer(writer, once).questions(shown, Counter()):
            pass
        tokens = min(writing.tokens, settings.writing_sampling.max_new_tokens)
        length = tokens * characters_per_token(settings.writer)
        return [_question(picture, kind, length) for picture in shown for kind in QUESTION_KINDS]

    def _answers(
        self, responder: ResponderSettings, questions: Sequence[Question], weight: float
    ) -> list[Response]:
        length = sampled("answer", responder.sampling)
        chat = CountingChat("responses", responder.chat, length, self.books)
        chat.weight = weight
        answerer = Answerer(responder, chat, self.settings.responses.seed)
        answered = answerer.answers(questions, _Store(), Counter())
        return [each for each in answered if isinstance(each, Response)]

    def _moderation(
        self, questions: Sequence[Question], answers: Sequence[Response], weight: float
    ) -> None:
        moderator = self.settings.labeling.moderator
        if moderator is None:
            return
        length = sampled("moderation", moderator.sampling)
        chat = CountingChat("pairing", moderator.chat, length, self.books)
        chat.weight = weight
        texts = {question.question_id: question.text for question in questions}
        image = PICTURE if sees_pictures(moderator) else None
        cases = [
            AnswerCase(each.response_id, texts[each.question_id], each.text, UNKNOWN, image)
            for each in answers
        ]
        ChatModerator(chat, moderator, 0).moderate_all(cases)

    def _judging(
        self, questions: Sequence[Question], answers: Sequence[Sequence[Response]], weight: float
    ) -> None:
        """Two answers to each question: those of the next two responders in turn."""
        judge, pairing = self.settings.labeling.judge, self.settings.labeling.pairing
        if judge is None or len(answers) < 2:
            return
        chat = CountingChat(
            "judging", judge.chat, sampled("comparison", judge.sampling), self.books
        )
        chat.weight = weight * min(pairing.pairs_per_question, len(answers) // 2)
        cases = []
        for number, question in enumerate(questions):
            pair = [answers[(2 * number + place) % len(answers)][number] for place in (0, 1)]
            for first, second in (pair, reversed(pair)):
                name = record_id(question.question_id, first.response_id)
                shown = (question.text, first.text, second.text)
                cases.append(PairCase(name, *shown, UNKNOWN, PICTURE))
        once = judge.model_copy(update={"attempts": 1})  # what is said is no verdict
        ChatPairwiseJudge(chat, once, 0).compare_all(cases)


def _question(picture: Picture, kind: str, characters: float) -> Question:
    name = record_id("question", picture.image_id, kind)
    text = filler(name, characters)
    return Question(name, picture.image_id, kind, text, picture.caption, Maker("plan"))
