"""TRL's preference data sets for vision: conversational, and plain ("standard" in its words)."""

from collections.abc import Iterable
from typing import Any

from spavl.published.layouts.layout import (
    Cells,
    Layout,
    of_one_turn,
    text_in,
    with_placeholder,
    without_placeholder,
)
from spavl.published.pictures import BadRowError
from spavl.published.rows import Row

SOURCE = "https://huggingface.co/docs/trl/dataset_formats"


def _answer(turns: Any) -> Any:
    """The last message, which is the assistant's: before it may stand the question."""
    if not isinstance(turns, list) or not turns or not isinstance(turns[-1], dict):
        raise BadRowError("a conversation that is no list of messages")
    return text_in(turns[-1].get("content"))


def _conversational(cells: Cells) -> Iterable[Cells]:
    """Without `prompt`, the question stands in both answers' conversations."""
    asked = cells.get("prompt") or cells.get("chosen")
    question = of_one_turn(asked, "role", "content", "user")
    answers = {side: _answer(cells.get(side)) for side in ("chosen", "rejected")}
    yield {"question": without_placeholder(question), **answers}


def _write_conversational(row: Row, picture: Any, number: int) -> Cells:
    def said(role: str, text: str | None) -> list[Cells]:
        shown = [{"type": "image", "text": None}] if role == "user" else []
        return [{"role": role, "content": [*shown, {"type": "text", "text": text}]}]

    return {
        "images": [picture],
        "prompt": said("user", row.question),
        "chosen": said("assistant", row.chosen),
        "rejected": said("assistant", row.rejected),
    }


def _plain(cells: Cells) -> Iterable[Cells]:
    yield {**cells, "question": without_placeholder(cells.get("prompt"))}


def _write_plain(row: Row, picture: Any, number: int) -> Cells:
    answers = {"chosen": row.chosen, "rejected": row.rejected}
    return {"images": [picture], "prompt": with_placeholder(row.question), **answers}


CONVERSATIONAL = Layout(
    "trl_conversational",
    SOURCE,
    {"chosen": "list", "rejected": "list"},
    ("prompt",),
    _conversational,
    _write_conversational,
    listed=True,
)
PLAIN = Layout(
    "trl_plain",
    SOURCE,
    {"prompt": "text", "chosen": "text", "rejected": "text"},
    (),
    _plain,
    _write_plain,
    listed=True,
)
