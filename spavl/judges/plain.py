"""Plain text for the readers of answers: what is seen, without how it is written.

Compatibility forms, accents, invisible characters, Markdown, quotation marks and apostrophes are
folded away, so that one phrase is one phrase however it is typed. Every step is linear.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

_APOSTROPHES = dict.fromkeys(map(ord, "’‘‛ʼʻʹ´`′＇՚ꞌ"), "'")
_BLANKS = dict.fromkeys(map(ord, "\u115f\u1160\u3164\uffa0\u2800\u00ad"), None)
_ELISION = re.compile(r"(?<!\w)([cdjlmnst]|qu)'(?=\w)")
_LINK = re.compile(r"!?\[([^\[\]\n]{0,300})\]\([^()\s]{0,500}\)")
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,80}>")
_ITEM = re.compile(
    r"[ \t>#]{0,20}(?:\*{0,2}(?:\d{1,3}|[A-Za-z])\*{0,2}[.)]|[-*+•‣▪–]"
    r"|(?:\*\*)?step\s(?:\d{1,2}|one|two|three|four|five))"
    r"\*{0,2}[:.]?[ \t]",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"[*_~#>|\\]")
_ENDS = re.compile(r"(?<=[.!?…])[\"')\]]{0,3}\s|(?<=[。！？।؟۔])")
_COMMA = re.compile(r"[,;:、，；：،؛(){}\[\]—–]|(?<=\s)-(?=\s)")
_QUOTED = re.compile(r'"[^"\n]{1,300}"|«[^»\n]{1,300}»|「[^」\n]{1,300}」|“[^”\n]{1,300}”')
_DROPPED = re.compile(r"[^\w\s,\u0900-\u0963-]")


@dataclass(frozen=True)
class Sentence:
    """One sentence: its words with a space after each, and whether it stands in a list."""

    words: str
    item: bool


def plain(text: str) -> str:
    """A text's words in one spelling: lower case, no accents, no apostrophes, commas apart."""
    text = _ELISION.sub(r"\1 ", _folded(text))
    text = _COMMA.sub(" , ", text.replace("'", ""))
    return " ".join(_DROPPED.sub(" ", text).split())


def read(text: str) -> list[Sentence]:
    """The sentences of an answer, quotations left out unless it opens with one."""
    return list(_sentences(_visible(text)))


def _sentences(text: str) -> Iterator[Sentence]:
    for line in _lines(_unquoted(text)):
        item = _ITEM.match(line)
        for part in _ENDS.split(_MARKUP.sub("", line[item.end() :] if item else line)):
            if words := plain(part).strip(" ,-"):
                yield Sentence(f"{words} ", item is not None)


def _lines(text: str) -> Iterator[str]:
    """Lines, those that only wrap a sentence (the next begins small) joined again."""
    wrapped: list[str] = []
    for line in text.splitlines():
        if wrapped and not (line.lstrip()[:1].islower() and not _ITEM.match(line)):
            yield " ".join(wrapped)
            wrapped = []
        wrapped.append(line)
    yield " ".join(wrapped)


def _unquoted(text: str) -> str:
    """Without what others are quoted as saying; an answer that is one quotation stays."""
    kept = _QUOTED.sub(" ", text)
    start = text.lstrip()[:1]
    return text if start in ('"', "«", "「", "“") or not kept.strip() else kept


def _visible(text: str) -> str:
    """Without links, tags and characters that nobody sees."""
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES).translate(_BLANKS))
    text = "".join(char for char in text if not _invisible(char))
    return _TAG.sub(" ", _LINK.sub(r"\1", text))


def _invisible(char: str) -> bool:
    return unicodedata.category(char) == "Cf" or "\ufe00" <= char <= "\ufe0f" or char == "\u1160"


def _folded(text: str) -> str:
    """Case and accents folded; the marks that are letters' bodies (Hindi, kana) stay."""
    apart = unicodedata.normalize("NFKD", text.translate(_APOSTROPHES))
    kept = "".join(char for char in apart if not _accent(char)).replace("\u0901", "\u0902")
    return unicodedata.normalize("NFKC", kept).casefold()


def _accent(char: str) -> bool:
    return "\u0300" <= char <= "\u036f" or "\u064b" <= char <= "\u065f" or char in "\u0640\u093c"
