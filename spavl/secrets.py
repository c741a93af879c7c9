"""Secrets, masked: what is written, shown or sent to anybody goes through `masked` first.

A secret is what stands where secrets stand (a password in an address, a key among its parameters, a
bearer token), what looks like a known kind of key, and every value of an environment variable that
is named like one or that the settings name as one.
"""

import io
import os
import re
import sys
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any, TextIO
from urllib.parse import quote

MASK = "***"
SHORTEST = 6
"""A shorter value masks words that are no secret."""

_NAMED = re.compile(r"(^|_)(API_?KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(_|$)")
_PERHAPS = re.compile(r"(^|_)(KEY|PASS|PAT|AUTH)(_|$)")
_NO_SECRET = re.compile(r"_(FILE|PATH|ENV|ID|NAME|URI|URL|DIR|TYPE|EXPIRATION)$")
_WORD = r"[\w.%-]*(?:api[_-]?key|key|token|secret|passw(?:or)?d|pwd|sig(?:nature)?|credential|sas)"
_PLACES = (
    re.compile(r"(?<=://)[^\s/@:\"']*:[^\s/@\"']+(?=@)|(?<=://)[^\s/@:\"'?#]{6,}(?=@)"),
    re.compile(rf"(?<=[?&;]){_WORD}=([^&\s\"'<>\\)\]}}]+)", re.IGNORECASE),
    re.compile(r"\b(?:Bearer|Basic)\s+([\w.~+/=-]{6,})", re.IGNORECASE),
    re.compile(r"\b(?:x-)?(?:api[_-]?key|goog-api-key)\"?'?\s*[:=]\s*\"?'?([\w.~+/=-]{6,})", re.I),
)
_KINDS = re.compile(
    r"\b(?:sk|pk|rk)-[\w-]{16,}|\bhf_[A-Za-z0-9]{16,}|\bgh[opsu]_[A-Za-z0-9]{20,}|"
    r"\bA[KS]IA[A-Z0-9]{16}\b|\bAIza[\w-]{30,}|\bxox[a-z]-[\w-]{10,}|\bglpat-[\w-]{16,}|"
    r"\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{5,}"
)
_remembered: set[str] = set()


def remember(value: str | None) -> None:
    """Mask this value from now on, wherever it stands."""
    if value and len(value.strip()) >= SHORTEST:
        _remembered.add(value.strip())


def masked(text: str) -> str:
    """The text with `***` in the place of each secret."""
    for value in _values():
        text = text.replace(value, MASK)
    for place in _PLACES:
        text = place.sub(_without, text)
    return _KINDS.sub(MASK, text)


def masked_tree(value: Any) -> Any:
    """The same for all texts of JSON but its keys."""
    match value:
        case str():
            return masked(value)
        case Mapping():
            return {str(key): masked_tree(each) for key, each in value.items()}
        case list() | tuple():
            return [masked_tree(each) for each in value]
    return value


def _without(found: re.Match[str]) -> str:
    secret = found[found.lastindex or 0]
    return found[0].replace(secret, MASK)


def _is_secret(name: str, value: str) -> bool:
    """Whether a variable is named like a secret; a word or a path under such a name is none."""
    if _NO_SECRET.search(name.upper()) or value.startswith("/"):
        return False
    if _NAMED.search(name.upper()):
        return True
    return bool(_PERHAPS.search(name.upper()) and re.search(r"\d", value))


def mask_traces() -> None:
    """Let Python write tracebacks of this process masked."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _hook


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if sys.stderr is not None:
        sys.stderr.write(masked("".join(traceback.format_exception(kind, error, trace))))


class MaskedStream(io.TextIOBase):
    """Writes masked lines into another stream, which somebody else closes.

    A line is written when it ends, since a secret may come in pieces.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun = ""

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def fileno(self) -> int:
        """The other stream's."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Take text; see the class."""
        lines, end, self._begun = (self._begun + text).rpartition("\n")
        if end:
            self._stream.write(masked(lines + end))
        return len(text)

    def flush(self) -> None:
        """Hand on what is whole."""
        self._stream.flush()

    def finish(self) -> None:
        """Write the last line, which may not have ended."""
        self._stream.write(masked(self._begun))
        self._begun = ""
        self._stream.flush()


def _values() -> list[str]:
    """Secret values and how they stand in addresses, the longest first: one may hold another."""
    named = {value.strip() for name, value in os.environ.items() if _is_secret(name, value)}
    plain = {each for each in named | _remembered if len(each) >= SHORTEST and not each.isdecimal()}
    return sorted(plain | {quote(each, safe="") for each in plain}, key=len, reverse=True)
