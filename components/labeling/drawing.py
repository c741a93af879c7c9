"""Pairs of a block of questions, column by column.

Each block is drawn for itself, so blocks can be drawn in any order, side by side and anew: the
pairs of one never hang on those of another.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from components.labeling.groups import BalancedDraw
from spavl.columns import framed_values, record_ids
from spavl.records import Pair, schema_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow

ASKED = ("question_id", "image_id", "kind", "question", "truth", "thing", "class3")
"""Columns of a question that its pairs take over."""
ANSWERED = ("response_id", "responder", "text", "safe")
"""Columns of an answer that may be drawn."""


@dataclass(frozen=True)
class Block:
    """Some questions and all answers to them.

    Attributes:
        asked: The columns `ASKED`, `[questions]`.
        answers: The columns `ANSWERED`, `[answers]`.
        question: Row of the question that each answer is to, `[answers]`.
    """

    asked: "pyarrow.Table"
    answers: "pyarrow.Table"
    question: "npt.NDArray[np.int64]"


class Unpaired(NamedTuple):
    """A question without a pair, and why."""

    question_id: str
    reason: str
    answers: int


def draw_block(
    block: Block, draw: BalancedDraw, wanted: int
) -> tuple["pyarrow.Table", list[Unpaired]]:
    """Draws a block's pairs.

    A responder's second answer to a question is not looked at.

    Args:
        block: The questions and answers.
        draw: A draw that nothing was drawn from yet.
        wanted: Pairs of a question at most; no answer is in two of them.

    Returns:
        Rows of `spavl.records.Pair`, and the questions of which no pair could be drawn.
    """
    rows: list[int] = []
    drawn: list[tuple[int, int]] = []
    reasons: dict[int, str] = {}
    for row, found in enumerate(_drawn(block, draw, wanted)):
        if isinstance(found[0], str):
            reasons[row] = found[0]
        for pair in found:
            if not isinstance(pair, str):
                rows.append(row)
                drawn.append(pair)
    return _pairs(block, rows, drawn), _unpaired(block, reasons)


def _unpaired(block: Block, reasons: Mapping[int, str]) -> list[Unpaired]:
    counts = np.bincount(block.question, minlength=block.asked.num_rows).tolist()
    ids = block.asked["question_id"]
    return [Unpaired(ids[row].as_py(), reason, counts[row]) for row, reason in reasons.items()]


def _drawn(block: Block, draw: BalancedDraw, wanted: int) -> Iterator[list[tuple[int, int] | str]]:
    """For each question its pairs of answers' rows; why there are no more where they are fewer."""
    from pyarrow import compute

    table = _by_responder(block, draw.responders)
    texts = _texts(block, table)
    alike = (np.diff(np.sort(texts, axis=1), axis=1) == 0).any(axis=1).tolist()
    ids = [*framed_values(block.answers["response_id"]).to_pylist(), b""]  # none at -1
    asked = framed_values(block.asked["question_id"]).to_pylist()
    strata = compute.coalesce(block.asked["class3"], block.asked["truth"]).to_pylist()
    for row, places in enumerate(table.tolist()):
        given = [ids[place] for place in places]
        numbers = texts[row].tolist() if alike[row] else None
        found: list[tuple[int, int] | str] = []
        while len(found) < wanted:
            pair = draw.draw(asked[row], strata[row], given, numbers)
            if isinstance(pair, str):
                found.append(pair)
                break
            found.append((places[pair[0]], places[pair[1]]))
            given[pair[0]] = given[pair[1]] = b""
        yield found


def _by_responder(block: Block, responders: tuple[str, ...]) -> "npt.NDArray[np.int64]":
    """Row of each responder's first answer by id to each question, or -1.

    Returns:
        Rows, `[questions, responders]`.
    """
    import pyarrow
    from pyarrow import compute

    every = pyarrow.array(responders, pyarrow.string())
    place = compute.index_in(block.answers["responder"], every).to_numpy()
    row = np.arange(len(place))
    table = np.full((block.asked.num_rows, len(responders)), -1)
    table[block.question, place] = row
    if np.count_nonzero(table >= 0) < len(row):  # of equal places numpy keeps the last
        by_id = [("response_id", "descending")]
        row = compute.sort_indices(block.answers, by_id).to_numpy()
        table[block.question[row], place[row]] = row
    return table


def _texts(block: Block, table: "npt.NDArray[np.int64]") -> "npt.NDArray[np.int64]":
    """For each responder's answer a number that stands for its text without white space around it.

    Where there is no answer, the number is of no text and differs from all others.

    Args:
        block: The answers.
        table: Their rows, `[questions, responders]`; -1 for none.
    """
    from pyarrow import compute

    stripped = compute.utf8_trim_whitespace(block.answers["text"]).combine_chunks()
    numbers = stripped.dictionary_encode().indices.to_numpy().astype(np.int64)
    nobody = -1 - np.arange(table.shape[1])
    return np.where(table >= 0, np.append(numbers, 0)[table], nobody)


def _pairs(block: Block, rows: list[int], drawn: list[tuple[int, int]]) -> "pyarrow.Table":
    """Rows of `spavl.records.Pair`, of rows of questions and of answers."""
    import pyarrow

    asked = block.asked.take(pyarrow.array(rows, pyarrow.int64()))
    columns = {name: asked[name] for name in ASKED}
    for place, side in enumerate(("first", "second")):
        taken = pyarrow.array([pair[place] for pair in drawn], pyarrow.int64())
        answers = block.answers.take(taken)
        for name, column in zip(ANSWERED, ("_response_id", "_responder", "", "_safe"), strict=True):
            columns[side + column] = answers[name]
    ids = (columns[name] for name in ("question_id", "first_response_id", "second_response_id"))
    columns["pair_id"] = record_ids("pair", *ids)
    schema = schema_of(Pair)
    return pyarrow.table([columns[name] for name in schema.names], schema=schema)
