"""Answers as data: how a text is shown to a judge that is a model.

An answer may try to end its own quotation, to speak as the system, to open a turn of its own, to
hide orders where people do not see them, or to say what the verdict is. A quoted text therefore
holds no sign that is not visible, no `<` or `[` that could begin a tag or a model's special token,
no name of a speaker or of a verdict with a colon behind it, and no more than a bounded number of
characters. Tags around it cannot be closed from within, whatever it says, and a judge that repeats
a line of it has given no verdict.
"""

import re
import unicodedata
from collections.abc import Iterator

_OPENS = re.compile(r"([<\[\uff1c])(?=[^\s\d=])")
"""What can begin a tag, `</answer>`, `<|im_end|>` or `[INST]`; `a < b`, `<3` and `[1]` stay."""

_SPEAKERS = re.compile(
    r"^(\W*(?:user|human|agent|assistant|ai|bot|gpt|system|developer|instruction|response|judge)"
    r"\W{0,3})[:\uff1a]",
    re.IGNORECASE | re.MULTILINE,
)
_VERDICTS = re.compile(
    r"\b(verdict|refused|convincing|specific)([\"'*_`\s]{0,4})[:=\uff1a]", re.IGNORECASE
)
_ALONE = re.compile(r"^[ \t]*((?:un)?safe)[ \t]*$", re.IGNORECASE | re.MULTILINE)

_KEPT_CONTROLS = "\n\t"


def quoted(text: str, max_characters: int) -> str:
    """A text that may stand between tags of a prompt.

    Args:
        text: Anything.
        max_characters: Longer texts lose their middle; what is left says so.
    """
    plain = escaped(text)
    if len(plain) <= max_characters:
        return plain
    half = max_characters // 2
    return f"{plain[:half]}\n(... {len(plain) - 2 * half} characters left out ...)\n{plain[-half:]}"


def windows(text: str, max_characters: int) -> list[str]:
    """A quoted text whole: in windows of so many characters at most, each half over the next.

    A sentence that one window cuts is whole in the next, unless it is longer than half of one. An
    empty text has one window.
    """
    plain = escaped(text)
    return list(_windows(plain, max_characters)) or [plain]


def escaped(text: str) -> str:
    """A text that opens no tag, no turn and no verdict, and hides nothing; of any length."""
    visible = "".join(sign for sign in text if _is_visible(sign))
    plain = _OPENS.sub(r"\1 ", visible).strip()
    plain = _SPEAKERS.sub(r"\1 -", plain)
    plain = _VERDICTS.sub(r"\1\2 -", plain)
    return _ALONE.sub(r"(\1)", plain)


def _windows(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size // 2):
        yield text[start : start + size]
        if start + size >= len(text):
            return


def _is_visible(sign: str) -> bool:
    """False for control, formatting (zero-width, direction, tags), private and surrogate signs."""
    if sign in "\u2028\u2029":
        return False
    return sign in _KEPT_CONTROLS or not unicodedata.category(sign).startswith("C")
