"""Families of phrases: templates of words and slots, compiled to patterns of bounded work.

A template is words with spaces between them:

| token | stands for |
|---|---|
| `word` | that word; `*` in it is up to eight more letters |
| `{slot}` | one of the slot's entries, which are templates themselves |
| `{slot?}` | the same, or nothing |
| `...` | up to four words, or ten characters where a language writes no spaces; no comma |
| `,` | a comma (or colon, semicolon, dash), or nothing |

Nothing repeats without an upper bound, so a search's work grows with the text's length alone,
whatever the text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from spavl.judges.plain import plain

_STEM = r"[^ ,]{0,8}"
_BEFORE = r"(?<![^ ])"
# A letter that no language of the data writes: it keeps the place of "*" in a word.
_STAR = "\u01bb"
_NOTHING = re.compile(r"(?!)")


@dataclass(frozen=True)
class Writing:
    """How a language joins words: its slots, and whether it writes spaces."""

    slots: Mapping[str, tuple[str, ...]]
    spaced: bool

    def pattern(self, templates: Iterable[str]) -> str:
        """One pattern that finds any of the templates, common beginnings merged."""
        tree: dict[str, Any] = {}
        for template in templates:
            node = tree
            for token in _tokens(template):
                node = node.setdefault(self._token(token), {})
            node[""] = {}
        return f"{_BEFORE if self.spaced else ''}{_merged(tree)}"

    def _token(self, token: str) -> str:
        end = " " if self.spaced else ""
        if token == "...":
            return r"(?:[^ ,]{1,30} ){0,4}" if self.spaced else r"[^,]{0,10}"
        if token == ",":
            return r"(?:, )?" if self.spaced else r"[ ,]{0,3}"
        if not token.startswith("{"):
            return re.escape(token).replace(_STAR, _STEM) + end
        return self._slot(token.strip("{?}")) + ("?" if token.endswith("?}") else "")

    def _slot(self, name: str) -> str:
        return self.pattern(self.slots[name]).removeprefix(_BEFORE)


def _tokens(template: str) -> Iterator[str]:
    """The tokens of a template, its words spelled as plain text spells them."""
    for token in template.split():
        if token in ("...", ",") or token.startswith("{"):
            yield token
        else:
            yield from plain(token.replace("*", _STAR)).split()


def compiled(patterns: Iterable[str]) -> re.Pattern[str]:
    """One pattern for several languages; it finds nothing if there are none."""
    found = "|".join(patterns)
    return re.compile(found) if found else _NOTHING


def _merged(tree: Mapping[str, Any]) -> str:
    """The alternation of a tree of tokens; longer ways come before an end."""
    ways = [token + (_merged(rest) if rest else "") for token, rest in tree.items() if token]
    if "" in tree and ways:
        return f"(?:{'|'.join(ways)})?"
    return f"(?:{'|'.join(ways)})"
