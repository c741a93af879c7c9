"""Joins questions, answers and pictures' truth on disk, so memory does not grow with rows."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Self

from components.labeling.drawing import ASKED
from components.labeling.groups import Answer
from spavl.images import ImageStore
from spavl.records import Question, Response

_TABLES = """
create table pictures (image_id text primary key, truth text, thing text, class3 text);
create table questions (question_id text primary key, image_id text, kind text, question text);
create table answers (question_id text, responder text, response_id text, text text, safe integer);
create index answers_by_question on answers (question_id);
"""
_JOINED = """
select q.question_id, q.image_id, q.kind, q.question, p.truth, p.thing, p.class3,
       a.response_id, a.responder, a.text, a.safe
from questions q join pictures p using (image_id) left join answers a using (question_id)
order by q.question_id, a.response_id
"""


@dataclass(frozen=True)
class Asked:
    """A question and what its picture shows."""

    question_id: str
    image_id: str
    kind: str
    question: str
    truth: str
    thing: str | None
    class3: str | None


class Join:
    """A scratch database in the work folder."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._path = path
        self._database = sqlite3.connect(path)
        # Scratch data: a crash throws it away, so durability would only cost time.
        self._database.executescript("pragma journal_mode=off; pragma synchronous=off;" + _TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
        self._path.unlink(missing_ok=True)

    def add_pictures(self, store: ImageStore) -> None:
        """Takes in what every picture shows."""
        rows = ((f.image_id, f.truth, f.thing, f.class3) for f in store.facts())
        self._database.executemany("insert into pictures values (?,?,?,?)", rows)

    def add_questions(self, questions: Iterator[Question]) -> None:
        """Takes in the questions."""
        rows = ((q.question_id, q.image_id, q.kind, q.text) for q in questions)
        self._database.executemany("insert or ignore into questions values (?,?,?,?)", rows)

    def add_answer(self, response: Response, safe: bool) -> None:
        """Takes in one answer that may be drawn."""
        row = (response.question_id, response.responder, response.response_id, response.text, safe)
        self._database.execute("insert into answers values (?,?,?,?,?)", row)

    def asked(self, question_id: str) -> Asked | None:
        """One question with its picture's truth; None where either is missing."""
        found = self._database.execute(
            "select q.question_id, q.image_id, q.kind, q.question, p.truth, p.thing, p.class3 "
            "from questions q join pictures p using (image_id) where question_id = ?",
            (question_id,),
        ).fetchone()
        return Asked(*found) if found else None

    def blocks(self, size: int) -> Iterator[tuple[dict[str, list[Any]], list[list[Answer]]]]:
        """All questions in order of their ids, a block at a time: columns, answers to each."""
        by_question = groupby(self._database.execute(_JOINED), key=lambda row: row[: len(ASKED)])
        read = ((head, [_answer(row) for row in rows]) for head, rows in by_question)
        while block := list(islice(read, size)):
            heads = zip(*(head for head, _ in block), strict=True)
            columns = {name: list(column) for name, column in zip(ASKED, heads, strict=True)}
            yield columns, [[each for each in answers if each] for _, answers in block]


def _answer(row: tuple[Any, ...]) -> Answer | None:
    """The answer in a row; None where nobody answered the question."""
    response_id, responder, text, safe = row[len(ASKED) :]
    return None if response_id is None else Answer(response_id, responder, text, bool(safe))
