"""What can be read off an answer's text: orders to the judge, garbling, things named."""

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

_QUOTES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "`": "'", "“": '"', "”": '"'})
# A line break ends a sentence where a capital, a number or a bullet follows.
_SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+|\s*\n\s*(?=[A-Z0-9*•-])|\n\s*\n")
_LOOPING_WORDS = 8
_LOOPING_SHARE = 0.35


def without_orders(text: str) -> str:
    """The answer without the sentences that speak to the judge (`orders.yaml`)."""
    orders = _orders()
    kept = (part for part in _split(text) if not orders.search(normalised(part)))
    return " ".join(kept).strip()


def garbled(text: str) -> bool:
    """Whether a text says nothing: no two letters in a row, or a few words over and over."""
    words = re.findall(r"[^\W\d_]{2,}", text.casefold())
    if not words:
        return True
    if len(words) < _LOOPING_WORDS:
        return False
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    repeated = sum(count - 1 for count in triples.values())
    return repeated / sum(triples.values()) > _LOOPING_SHARE


def names(text: str, name: str, aliases: Iterable[str] = ()) -> bool:
    """Whether a text names a thing: whole words, any case, any spacing or hyphens."""
    return bool(named(text, (name, *aliases)))


def named(text: str, vocabulary: Iterable[str]) -> frozenset[str]:
    """The names of a vocabulary that a text holds.

    Longer names win: "financial fraud" does not name "fraud" as well.

    Returns:
        The names as the vocabulary spells them.
    """
    spelling, pattern = _compiled(frozenset(vocabulary))
    if not spelling:
        return frozenset()
    return frozenset(spelling[found] for found in pattern.findall(_key(text)))


def normalised(text: str) -> str:
    """Case folded, quotes straightened, runs of white space made one space."""
    return re.sub(r"\s+", " ", text.translate(_QUOTES).casefold()).strip()


def _split(text: str) -> list[str]:
    return [part for part in _SENTENCE_ENDS.split(text) if part.strip()]


def _key(text: str) -> str:
    return " ".join(re.findall(r"\w+", normalised(text)))


@lru_cache(maxsize=512)
def _compiled(vocabulary: frozenset[str]) -> tuple[dict[str, str], re.Pattern[str]]:
    """Spelling by key, and the pattern that finds keys, the longest first."""
    spelling = {_key(name): name for name in sorted(vocabulary) if _key(name)}
    keys = sorted(spelling, key=lambda key: (-len(key), key))
    return spelling, re.compile(r"\b(?:" + "|".join(map(re.escape, keys)) + r")\b")


@lru_cache(maxsize=1)
def _orders() -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{order})" for order in _data("orders.yaml")["orders"]))


@lru_cache(maxsize=1)
def _data(name: str) -> dict[str, Any]:
    text = (files(__package__) / name).read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content
