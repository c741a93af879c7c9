"""Pairs of a block of questions, column by column.

Each block is drawn for itself, so blocks can be drawn in any order, side by side and anew: the
pairs of one never hang on those of another.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from components.labeling.groups import Answer, BalancedDraw
from spavl.records import record_id

Columns = Mapping[str, Sequence[Any]]
ASKED = ("question_id", "image_id", "kind", "question", "truth", "thing", "class3")
"""Columns of a question that its pairs take over."""


class Unpaired(NamedTuple):
    """A question without a pair, and why."""

    question_id: str
    reason: str
    answers: int


def draw_block(
    asked: Columns, answers: Sequence[Sequence[Answer]], draw: BalancedDraw, wanted: int
) -> tuple[dict[str, list[Any]], list[Unpaired]]:
    """Draws a block's pairs.

    Args:
        asked: The columns `ASKED` of the block's questions.
        answers: The answers to each of them.
        draw: A draw that nothing was drawn from yet.
        wanted: Pairs of a question at most; no answer is in two of them.

    Returns:
        Columns of `spavl.records.Pair`, and the questions of which no pair could be drawn.
    """
    rows: list[int] = []
    drawn: list[tuple[Answer, Answer]] = []
    unpaired = []
    strata = [harm or truth for harm, truth in zip(asked["class3"], asked["truth"], strict=True)]
    for row, (question_id, given) in enumerate(zip(asked["question_id"], answers, strict=True)):
        found, reason = _draw(draw, question_id, strata[row], given, wanted)
        rows += [row] * len(found)
        drawn += found
        if not found:
            unpaired.append(Unpaired(question_id, reason, len(given)))
    columns = {name: [asked[name][row] for row in rows] for name in ASKED}
    for place, side in enumerate(("first", "second")):
        every = [pair[place] for pair in drawn]
        columns[f"{side}_response_id"] = [answer.response_id for answer in every]
        columns[side] = [answer.text for answer in every]
        columns[f"{side}_responder"] = [answer.responder for answer in every]
        columns[f"{side}_safe"] = [answer.safe for answer in every]
    ids = (columns[name] for name in ("question_id", "first_response_id", "second_response_id"))
    columns["pair_id"] = [record_id("pair", *parts) for parts in zip(*ids, strict=True)]
    return columns, unpaired


def _draw(
    draw: BalancedDraw, question_id: str, stratum: str, answers: Sequence[Answer], wanted: int
) -> tuple[list[tuple[Answer, Answer]], str]:
    """Up to as many pairs as wanted, and why there are no more."""
    pairs: list[tuple[Answer, Answer]] = []
    while len(pairs) < wanted:
        found = draw.draw(question_id, stratum, answers)
        if isinstance(found, str):
            return pairs, found
        pairs.append(found)
        answers = [answer for answer in answers if answer not in found]
    return pairs, ""
