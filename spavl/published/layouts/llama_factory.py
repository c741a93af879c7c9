"""LLaMA-Factory's `sharegpt` format with `ranking: true` and `images`."""

from collections.abc import Iterable, Mapping
from typing import Any

from spavl.published.layouts.layout import (
    Cells,
    Layout,
    of_one_turn,
    with_placeholder,
    without_placeholder,
)
from spavl.published.rows import Row

DESCRIPTION = {
    "formatting": "sharegpt",
    "ranking": True,
    "columns": {
        "messages": "conversations",
        "chosen": "chosen",
        "rejected": "rejected",
        "images": "images",
    },
}
"""What `dataset_info.json` says of a file of these rows."""


def _read(cells: Cells) -> Iterable[Cells]:
    question = of_one_turn(cells.get("conversations"), "from", "value", "human")
    answers = {side: _said(cells.get(side)) for side in ("chosen", "rejected")}
    yield {"question": without_placeholder(question), **answers}


def _said(answer: Any) -> Any:
    return answer.get("value") if isinstance(answer, Mapping) else answer


def _write(row: Row, picture: Any, number: int) -> Cells:
    return {
        "conversations": [{"from": "human", "value": with_placeholder(row.question)}],
        "chosen": {"from": "gpt", "value": row.chosen},
        "rejected": {"from": "gpt", "value": row.rejected},
        "images": [picture],
    }


LLAMA_FACTORY = Layout(
    "llama_factory",
    "https://github.com/hiyouga/LLaMA-Factory, data/README.md",
    {"conversations": "list", "chosen": "struct", "rejected": "struct"},
    (),
    _read,
    _write,
    listed=True,
)
