"""Strict reading of what a writer of questions gives back."""

import re

_QUOTES = "\"'`“”‘’«»"
_POINTS = re.compile(
    r"\b(?:this|that|these|those|it|its|he|him|his|she|her|hers|they|them|their|theirs|here|there|"
    r"see|seen|show|shows|shown|depict\w*|picture\w*|image|photo|photograph|scene|sign|screen)\b",
    re.IGNORECASE,
)
"""A text without any of these asks nothing about a picture: one can answer it without looking."""
_LISTED = ("- ", "* ", "• ", "#", "1.", "1)")


class Malformed(ValueError):
    """A text that is no question of the kind asked for; the message is one of a fixed few."""


def parse_question(text: str, kind: str, max_characters: int) -> str:
    """Checks a written question.

    Args:
        text: What the writer gave back.
        kind: `easy_question`, `hard_question` or `hard_statement`.
        max_characters: Longest allowed question.

    Returns:
        The question, without white space around it.

    Raises:
        Malformed: It is empty, has several lines, is too long, is quoted or listed, does not end as
            its kind does (requests may end in a full stop, statements never in a question mark), or
            points at nothing, so that it could be asked without the picture.
    """
    question = text.strip()
    if not question:
        raise Malformed("empty")
    if len(question.splitlines()) > 1:
        raise Malformed("several lines")
    if len(question) > max_characters:
        raise Malformed("too long")
    if question[0] in _QUOTES or question.startswith(_LISTED):
        raise Malformed("quoted or listed")
    if not question.isprintable():
        raise Malformed("control characters")
    if not question.endswith((".", "!") if kind == "hard_statement" else ("?", ".", "!")):
        raise Malformed("wrong ending")
    if not _POINTS.search(question):
        raise Malformed("not about the picture")
    return question


def same_text_key(question: str) -> str:
    """Equal for questions that differ in case, spaces and signs only."""
    return "".join(letter for letter in question.casefold() if letter.isalnum())
