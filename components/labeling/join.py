"""Joins questions, answers and pictures' truth on disk, so memory does not grow with rows."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from components.labeling.drawing import ANSWERED, ASKED, Block
from spavl.images import ImageStore
from spavl.pocket.texts import truth_of
from spavl.records import Question, Response

if TYPE_CHECKING:
    import pyarrow

_TABLES = """
create table pictures (image_id text primary key, truth text, thing text, class3 text);
create table questions (question_id text primary key, image_id text, kind text, question text);
create table answers (question_id text, responder text, response_id text, text text, safe integer);
create index answers_by_question on answers (question_id);
"""
_ASKED = """
select q.question_id, q.image_id, q.kind, q.question, truth_of(q.question, p.truth), p.thing,
    p.class3
from questions q join pictures p using (image_id)
"""
_ANSWERS = """
select question_id, response_id, responder, text, safe
from answers where question_id between ? and ? order by question_id, response_id
"""
QUESTION = "question_id"


@dataclass(frozen=True)
class Asked:
    """A question, what its picture shows, and whether an answer would do harm (`truth`)."""

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
        self._database.create_function("truth_of", 2, truth_of, deterministic=True)
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
        found = self._database.execute(f"{_ASKED} where question_id = ?", (question_id,)).fetchone()
        return Asked(*found) if found else None

    def blocks(self, size: int) -> Iterator[Block]:
        """All questions in order of their ids, a block at a time, and the answers to each."""
        questions = self._database.execute(f"{_ASKED} order by q.question_id")
        while heads := questions.fetchmany(size):
            asked = _table(ASKED, heads)
            answers = self._database.execute(_ANSWERS, (heads[0][0], heads[-1][0])).fetchall()
            yield _block(asked, _table((QUESTION, *ANSWERED), answers))


def _table(names: Sequence[str], rows: list[tuple[Any, ...]]) -> "pyarrow.Table":
    """Rows as columns, in the types that records give them."""
    import pyarrow

    kinds = [pyarrow.int64() if name == "safe" else pyarrow.string() for name in names]
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    arrays = [pyarrow.array(each, kind) for each, kind in zip(columns, kinds, strict=True)]
    return pyarrow.table(arrays, names=list(names))


def _block(asked: "pyarrow.Table", answers: "pyarrow.Table") -> Block:
    """A block of questions and of answers, some perhaps to questions without a picture."""
    from pyarrow import compute

    row = compute.index_in(answers[QUESTION], asked[QUESTION].combine_chunks())
    answers = answers.filter(compute.is_valid(row))
    safe = compute.cast(answers["safe"], "bool")
    answers = answers.set_column(answers.column_names.index("safe"), "safe", safe)
    return Block(asked, answers.select(list(ANSWERED)), row.drop_null().to_numpy().astype("int64"))
