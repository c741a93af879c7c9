"""What a judge is asked and what it answers; rules and, later, VLMs speak it alike.

Neither protocol takes a persona, a responder or a question's kind: a judge cannot lean on what it
is never told.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

Winner = Literal["first", "second", "tie"]


@dataclass(frozen=True)
class Shown:
    """What the question's picture shows.

    Attributes:
        truth: `harmful`, `harmless` or `unknown`.
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
