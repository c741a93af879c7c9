"""SPA-VL's `meta_files`: kinds of questions and who gave an answer, joined to rows by their texts.

On the hub (https://huggingface.co/datasets/sqrti/SPA-VL/tree/main/meta_files) they are folders
(`split`, `model_answer`, `prefer`, `safety`, `image_info`) of JSON by kind: `easy`, `hardq`,
`hards`. Their columns could not be looked up, so none is asked for: a row has the kind of the one
file that holds its question, and an answer is of the one responder under whose name it stands word
for word. What is found nowhere, or under two, stays unknown.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from spavl.errors import InputError
from spavl.published.cells import read_cells
from spavl.storable import text_of

FOLDER = "meta_files"
KINDS = {"easy": "easy_question", "hardq": "hard_question", "hards": "hard_statement"}
QUESTIONS, ANSWERS = "split", "model_answer"
RESPONDERS = re.compile(
    r"otter|mplugowl|lamm|llamaadapter|minigpt|instructblip|llava|intern|qwen|gemini"
)
"""How the names of the paper's twelve begin, in small letters and without signs."""


@dataclass
class Meta:
    """What the files say.

    Attributes:
        unread: Files that are not as was thought, and why.
    """

    unread: list[str] = field(default_factory=list)
    _kinds: dict[bytes, str | None] = field(default_factory=dict)
    _responders: dict[bytes, str | None] = field(default_factory=dict)

    def kind(self, question: str) -> str | None:
        """The question's kind; None where that is not known."""
        return self._kinds.get(_key(question))

    def responder(self, answer: str) -> str | None:
        """Who gave the answer; None where that is not known."""
        return self._responders.get(_key(answer))

    def add_kind(self, text: str, kind: str) -> None:
        """Takes a text of a file of one kind."""
        _only(self._kinds, text, kind)

    def add_answer(self, text: str, responder: str) -> None:
        """Takes a text that stands under a responder's name."""
        _only(self._responders, text, responder)


def read_meta(folder: Path) -> Meta:
    """What a published data set's `meta_files` say; nothing where it has none."""
    meta = Meta()
    for name, kind in KINDS.items():
        for text, _ in _texts(folder / FOLDER / QUESTIONS / f"{name}.json", meta):
            meta.add_kind(text, kind)
        for text, keys in _texts(folder / FOLDER / ANSWERS / f"{name}.json", meta):
            named = [key for key in keys if RESPONDERS.match(re.sub(r"\W|_", "", key.lower()))]
            if named:
                meta.add_answer(text, text_of(named[-1]))
    return meta


def _texts(path: Path, meta: Meta) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every text of a file and the keys above it; a file that cannot be read costs only this."""
    if not path.exists():
        return
    try:
        for cells in read_cells(path, ()):
            yield from _below(cells, ())
    except InputError as error:
        meta.unread.append(str(error))


def _below(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    match value:
        case str():
            yield value, keys
        case list():
            for each in value:
                yield from _below(each, keys)
        case Mapping():
            named = [said for said in value.values() if isinstance(said, str) and len(said) < 40]
            for key, each in value.items():  # a responder may be named beside its answer
                yield from _below(each, (*keys, *named, str(key)))


def _only(known: dict[bytes, str | None], text: str, value: str) -> None:
    """Remembers what a text has, or that it has two."""
    key = _key(text)
    known[key] = value if known.get(key, value) == value else None


def _key(text: str) -> bytes:
    return sha256(text.strip().encode("utf-8", "replace")).digest()[:12]
