"""Rows: a picture, a prompt and an answer as one sequence of tokens.

Prompt and answer are tokenised together exactly once, as the model will see them; the answer
begins after the last token that the sequence shares with the prompt's own tokenisation (the two can
merge at the seam). The end-of-sequence token is always appended. Nothing is ever cut, picture
tokens least of all: a row over `max_length` is dropped and counted.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from spavl.models.pictures import Pictures
from spavl.models.prompts import answered_prompt, question_prompt
from spavl.records import Preference


@dataclass(frozen=True)
class Row:
    """One sequence.

    Attributes:
        image_id: Its picture.
        token_ids: Prompt and answer, picture tokens expanded.
        boundary: Number of prompt tokens; the answer is `token_ids[boundary:]`.
        further_image_ids: Pictures after the first, in the order of their tokens.
    """

    image_id: str
    token_ids: tuple[int, ...]
    boundary: int
    further_image_ids: tuple[str, ...] = ()

    @property
    def image_ids(self) -> tuple[str, ...]:
        """All pictures in the order of their tokens."""
        return (self.image_id, *self.further_image_ids)

    @property
    def length(self) -> int:
        """Tokens of the row."""
        return len(self.token_ids)

    @property
    def response_length(self) -> int:
        """Answer tokens, end of sequence included."""
        return len(self.token_ids) - self.boundary


@dataclass(frozen=True)
class PairRows:
    """A preference as two rows."""

    preference: Preference
    chosen: Row
    rejected: Row

    @property
    def length(self) -> int:
        """Tokens of the longer row."""
        return max(row.length for row in self.rows)

    @property
    def rows(self) -> tuple[Row, ...]:
        """All its rows."""
        return (self.chosen, self.rejected)

    @property
    def together(self) -> str:
        """Pairs that are alike in this share most: their picture."""
        return self.preference.image_id


@dataclass(frozen=True)
class Tokenised:
    """Rows of a data set and what had to be left out: reason to number of pairs."""

    pairs: list[PairRows]
    dropped: dict[str, int]


class Tokeniser:
    """Makes rows for one processor.

    Args:
        processor: The model's processor.
        pictures: Where pictures were or will be read.
        max_length: Most tokens of a row, picture tokens included.
    """

    def __init__(self, processor: Any, pictures: Pictures, max_length: int) -> None:
        self._processor = processor
        self._tokenizer = processor.tokenizer
        self._pictures = pictures
        self.max_length = max_length

    def pairs(self, preferences: Iterable[Preference]) -> Tokenised:
        """Tokenise preferences, reading their pictures first; what cannot be used is counted."""
        preferences = list(preferences)
        unreadable = self._pictures.read(preference.image_id for preference in preferences)
        pairs: list[PairRows] = []
        dropped: Counter[str] = Counter()
        for preference in preferences:
            if preference.image_id in unreadable:
                dropped["unreadable_picture"] += 1
            elif self.names_a_picture(preference.question, preference.chosen, preference.rejected):
                dropped["picture_token_in_text"] += 1
            elif (pair := self._pair(preference)).length > self.max_length:
                dropped["too_long"] += 1
            else:
                pairs.append(pair)
        return Tokenised(pairs, dict(dropped))

    def names_a_picture(self, *texts: str) -> bool:
        """Whether a text holds the token that stands for pictures, which no picture would fill."""
        return any(self._processor.image_token in text for text in texts)

    def prompt(self, image_id: str, question: str) -> tuple[int, ...]:
        """A question's prompt up to where the answer begins; its picture must have been read."""
        return self._encode((image_id,), question_prompt(self._processor, question))

    def answered(self, image_id: str, question: str, answer: str) -> Row:
        """A question with an answer and the end of sequence; its picture must have been read."""
        return self.row(
            (image_id,),
            question_prompt(self._processor, question),
            answered_prompt(self._processor, question, answer),
        )

    def row(self, image_ids: Sequence[str], prompt: str, whole: str) -> Row:
        """A row from text; the pictures must have been read.

        Args:
            image_ids: The pictures, one for each picture placeholder of the text, in order.
            prompt: The text up to where the answer begins.
            whole: Prompt and answer; the end of sequence is appended.
        """
        asked, answered = self._encode(image_ids, prompt), self._encode(image_ids, whole)
        shared = 0
        while shared < min(len(asked), len(answered)) and asked[shared] == answered[shared]:
            shared += 1
        ids = (*answered, self._tokenizer.eos_token_id)
        return Row(image_ids[0], ids, shared, tuple(image_ids[1:]))

    def _pair(self, preference: Preference) -> PairRows:
        chosen, rejected = (
            self.answered(preference.image_id, preference.question, answer)
            for answer in (preference.chosen, preference.rejected)
        )
        return PairRows(preference, chosen, rejected)

    def _encode(self, image_ids: Sequence[str], text: str) -> tuple[int, ...]:
        pieces = text.split(self._processor.image_token)
        expanded = [pieces[0]]
        for image_id, piece in zip(image_ids, pieces[1:], strict=True):
            expanded += [self._pictures.placeholder(image_id), piece]
        bos = self._tokenizer.bos_token
        ids = self._tokenizer(
            "".join(expanded), add_special_tokens=not (bos and text.startswith(bos))
        )
        return tuple(ids["input_ids"])
