"""What is wrong with an answer's form: empty, looping or cut off."""

from collections.abc import Sequence

WORD_LOOPS = 4
"""So many times the same words at the end of an answer are a loop."""

LOOPED_CHARACTERS = 40
"""So long must a repeated string without spaces be in all to be one."""


def flags_of(text: str, finish_reason: str) -> list[str]:
    """The flags of an answer: a subset of `empty`, `looping`, `cut_off`, in this order."""
    flags = []
    if not text.strip():
        flags.append("empty")
    if is_looping(text):
        flags.append("looping")
    if finish_reason == "length":
        flags.append("cut_off")
    return flags


def is_looping(text: str) -> bool:
    """Whether a text ends in the same words, or the same signs, over and over."""
    words = text.casefold().split()
    for period in range(1, len(words) // WORD_LOOPS + 1):
        if _repeats_at_end(words, period) >= WORD_LOOPS * period:
            return True
    signs = text.casefold().rstrip()
    for period in range(1, min(len(signs) // WORD_LOOPS, LOOPED_CHARACTERS) + 1):
        if _repeats_at_end(signs, period) >= max(LOOPED_CHARACTERS, WORD_LOOPS * period):
            return True
    return False


def _repeats_at_end(items: Sequence[str], period: int) -> int:
    """Length of the longest tail in which every item equals the one a period later."""
    place = len(items) - period - 1
    while place >= 0 and items[place] == items[place + period]:
        place -= 1
    return len(items) - 1 - place
