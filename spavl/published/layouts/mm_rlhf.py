"""MM-RLHF's `dpo_pairs.jsonl`: pairs about pictures; those about videos are set aside."""

from collections.abc import Iterable
from typing import Any

from spavl.published.layouts.layout import Cells, Layout, with_placeholder, without_placeholder
from spavl.published.pictures import BadRowError
from spavl.published.rows import Row


def _read(cells: Cells) -> Iterable[Cells]:
    if cells.get("video") and not cells.get("image"):
        raise BadRowError("a video, no picture")
    yield {**cells, "question": without_placeholder(cells.get("prompt"))}


def _write(row: Row, picture: Any, number: int) -> Cells:
    texts = {"chosen": row.chosen, "rejected": row.rejected}
    return {"image": picture, "prompt": with_placeholder(row.question), **texts}


MM_RLHF = Layout(
    "mm_rlhf",
    "https://huggingface.co/datasets/yifanzhang114/MM-RLHF, and its scripts/convert_to_swift.py",
    {"image": "text", "prompt": "text", "chosen": "text", "rejected": "text"},
    ("video",),
    _read,
    _write,
)
