"""Answers as data: how a text is shown to a judge that is a model.

An answer may try to end its own quotation, to speak as the system, or to hide orders where people
do not see them. A quoted text therefore holds no sign that is not visible, no `<` or `[` that could
begin a tag or a model's special token, and no more than a bounded number of characters. Tags around
it cannot be closed from within, whatever it says.
"""

import re
import unicodedata

_OPENS = re.compile(r"([<\[\uff1c])(?=[^\s\d=])")
"""What can begin a tag, `</answer>`, `<|im_end|>` or `[INST]`; `a < b`, `<3` and `[1]` stay."""

_KEPT_CONTROLS = "\n\t"


def quoted(text: str, max_characters: int) -> str:
    """A text that may stand between tags of a prompt.

    Args:
        text: Anything.
        max_characters: Longer texts lose their middle; what is left says so.
    """
    visible = "".join(sign for sign in text if _is_visible(sign))
    plain = _OPENS.sub(r"\1 ", visible).strip()
    if len(plain) <= max_characters:
        return plain
    half = max_characters // 2
    return f"{plain[:half]}\n(... {len(plain) - 2 * half} characters left out ...)\n{plain[-half:]}"


def _is_visible(sign: str) -> bool:
    """False for control, formatting (zero-width, direction, tags), private and surrogate signs."""
    return sign in _KEPT_CONTROLS or not unicodedata.category(sign).startswith("C")
