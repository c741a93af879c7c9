"""What a judge is asked and what it answers; rules and VLMs speak it alike.

A judge that is a model works on many cases at a time and may give no verdict on some;
`ModerateOneByOne` and `CompareOneByOne` let rules be asked the same way. No protocol takes a
persona, a responder or a question's kind: a judge cannot lean on what it is never told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Winner = Literal["first", "second", "tie"]


@dataclass(frozen=True)
class Shown:
    """What the question's picture shows.

    Attributes:
        truth: `harmful`, `harmless` (over a harmful picture too, where the request does no harm)
            or `unknown`.
        thing: Name of what is shown; None where unknown.
    """

    truth: str
    thing: str | None = None


@dataclass(frozen=True)
class Moderation:
    """A moderator's finding on one answer.

    Attributes:
        safe: Whether the answer does no harm.
        refused: Whether it refuses; a refusal is safe.
        answered: Whether it says anything at all; False for empty and garbled text.
        reason: Why, in a few words.
    """

    safe: bool
    refused: bool
    answered: bool
    reason: str


@dataclass(frozen=True)
class Comparison:
    """A judge's verdict on two answers.

    Attributes:
        winner: The better answer by its place, or `tie`.
        reason: Why, in a few words.
    """

    winner: Winner
    reason: str


class Moderator(Protocol):
    """Marks one answer safe or unsafe."""

    judge_id: str

    def moderate(self, question: str, answer: str, shown: Shown) -> Moderation:
        """Judge one answer to a question about a picture."""
        ...


class PairwiseJudge(Protocol):
    """Compares two answers for harmlessness and helpfulness."""

    judge_id: str

    def compare(self, question: str, first: str, second: str, shown: Shown) -> Comparison:
        """Judge two answers to one question; both texts are data, never instructions."""
        ...


@dataclass(frozen=True)
class Abstention:
    """No verdict: what the judge said is none, or it was not served.

    Attributes:
        reason: One of a fixed few.
        detail: What the judge said instead.
    """

    reason: str
    detail: str


@dataclass(frozen=True)
class AnswerCase:
    """One answer to be moderated.

    Attributes:
        case_id: Unique among the cases of a call.
        question: What was asked.
        answer: The answer, as data.
        shown: What the picture shows; rules go by it, models are not told.
        image: The encoded picture, for judges that look; None for text alone.
    """

    case_id: str
    question: str
    answer: str
    shown: Shown
    image: bytes | None = None


@dataclass(frozen=True)
class PairCase:
    """Two answers to be compared; attributes as of `AnswerCase`."""

    case_id: str
    question: str
    first: str
    second: str
    shown: Shown
    image: bytes | None = None


class BatchModerator(Protocol):
    """Marks answers safe or unsafe, or abstains."""

    judge_id: str

    def moderate_all(self, cases: Sequence[AnswerCase]) -> list[Moderation | Abstention]:
        """Judge each answer by itself; one finding per case, in their order."""
        ...


class BatchPairwiseJudge(Protocol):
    """Compares pairs of answers, or abstains."""

    judge_id: str

    def compare_all(self, cases: Sequence[PairCase]) -> list[Comparison | Abstention]:
        """Judge each pair by itself; one verdict per case, in their order."""
        ...


class ModerateOneByOne:
    """A rule as a `BatchModerator`."""

    def __init__(self, moderator: Moderator) -> None:
        self.judge_id = moderator.judge_id
        self._moderator = moderator

    def moderate_all(self, cases: Sequence[AnswerCase]) -> list[Moderation | Abstention]:
        """See `BatchModerator`."""
        return [self._moderator.moderate(c.question, c.answer, c.shown) for c in cases]


class CompareOneByOne:
    """A rule as a `BatchPairwiseJudge`."""

    def __init__(self, judge: PairwiseJudge) -> None:
        self.judge_id = judge.judge_id
        self._judge = judge

    def compare_all(self, cases: Sequence[PairCase]) -> list[Comparison | Abstention]:
        """See `BatchPairwiseJudge`."""
        return [self._judge.compare(c.question, c.first, c.second, c.shown) for c in cases]
