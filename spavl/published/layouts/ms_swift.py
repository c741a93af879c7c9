"""ms-swift's standard format for preferences: `messages` with the chosen answer, and the other."""

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
from spavl.published.rows import Row


def _read(cells: Cells) -> Iterable[Cells]:
    messages = cells.get("messages")
    question = of_one_turn(messages, "role", "content", "user")
    chosen = of_one_turn(messages, "role", "content", "assistant")
    rejected = text_in(cells.get("rejected_response"))
    yield {"question": without_placeholder(question), "chosen": chosen, "rejected": rejected}


def _write(row: Row, picture: Any, number: int) -> Cells:
    return {
        "messages": [
            {"role": "user", "content": with_placeholder(row.question)},
            {"role": "assistant", "content": row.chosen},
        ],
        "rejected_response": row.rejected,
        "images": [picture],
    }


MS_SWIFT = Layout(
    "ms_swift",
    "https://github.com/modelscope/ms-swift, docs/source_en/Customization/Custom-dataset.md",
    {"messages": "list", "rejected_response": "text"},
    (),
    _read,
    _write,
    listed=True,
)
