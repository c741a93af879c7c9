"""BeaverTails-V with two answers (saferlhf-v/BeaverTails-V): the safer one is preferred.

PKU-Alignment/BeaverTails-V has one answer a question and is no set of preferences.
"""

from collections.abc import Iterable
from typing import Any

from spavl.published.layouts.layout import Cells, Layout
from spavl.published.pictures import BadRowError
from spavl.published.rows import Row

ORDERS = {"1": ("1", "2"), "2": ("2", "1")}


def _read(cells: Cells) -> Iterable[Cells]:
    order = ORDERS.get(str(cells.get("safer_response_id")).removeprefix("response_"))
    if order is None:
        raise BadRowError("no safer answer", f"{str(cells.get('safer_response_id'))[:40]!r}")
    sides = zip(("chosen", "rejected"), order, strict=True)
    told: Cells = {"question": cells.get("question"), "class3": cells.get("category")}
    for side, number in sides:
        told[side] = cells.get(f"response_{number}")
        told[f"{side}_responder"] = cells.get(f"response_{number}_from")
    yield told


def _write(row: Row, picture: Any, number: int) -> Cells:
    return {
        "question": row.question,
        "image": picture,
        "category": row.class3,
        "response_1": row.chosen,
        "response_2": row.rejected,
        "response_1_from": row.chosen_responder,
        "response_2_from": row.rejected_responder,
        "safer_response_id": "1",
    }


BEAVERTAILS_V = Layout(
    "beavertails_v",
    "https://huggingface.co/datasets/saferlhf-v/BeaverTails-V",
    {
        "question": "text",
        "response_1": "text",
        "response_2": "text",
        "safer_response_id": "",
    },
    ("category", "response_1_from", "response_2_from"),
    _read,
    _write,
)
