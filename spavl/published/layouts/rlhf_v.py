"""RLHF-V, whose answers stand in a column of JSON, and RLAIF-V, where they have columns."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from spavl.published.layouts.layout import Cells, Layout
from spavl.published.pictures import BadRowError
from spavl.published.rows import Row
from spavl.storable import read_json, text_of

SIDES = ("question", "chosen", "rejected")


def _in_json(cells: Cells) -> Iterable[Cells]:
    texts = cells.get("text")
    if isinstance(texts, str | bytes):
        try:
            texts = read_json(text_of(texts))
        except ValueError:
            raise BadRowError("a text that is no JSON") from None
    if not isinstance(texts, Mapping):
        raise BadRowError("a text that is no JSON")
    yield {**{side: texts.get(side) for side in SIDES}, **_named(cells)}


def _in_columns(cells: Cells) -> Iterable[Cells]:
    yield {**{side: cells.get(side) for side in SIDES}, **_named(cells)}


def _named(cells: Cells) -> Cells:
    """A picture's own name, where the struct that holds it has none."""
    place = cells.get("image_path")
    return {"image_name": place.rpartition("/")[2]} if isinstance(place, str) and place else {}


def _origin(row: Row, picture: Any) -> Cells:
    return {
        "ds_name": "spavl",
        "image": picture,
        "origin_dataset": "spavl",
        "origin_split": row.kind or "unknown",
        "image_path": row.image_name,
    }


def _write_json(row: Row, picture: Any, number: int) -> Cells:
    texts = {side: getattr(row, side) for side in SIDES}
    return {**_origin(row, picture), "text": json.dumps(texts, ensure_ascii=False), "idx": number}


def _write_columns(row: Row, picture: Any, number: int) -> Cells:
    texts = {side: getattr(row, side) for side in SIDES}
    return {**_origin(row, picture), **texts, "idx": str(number)}


RLHF_V = Layout(
    "rlhf_v",
    "https://huggingface.co/datasets/openbmb/RLHF-V-Dataset",
    {"text": "text", "origin_dataset": "text"},
    ("image_path",),
    _in_json,
    _write_json,
)
RLAIF_V = Layout(
    "rlaif_v",
    "https://huggingface.co/datasets/openbmb/RLAIF-V-Dataset",
    {"question": "text", "chosen": "text", "rejected": "text", "origin_dataset": "text"},
    ("image_path",),
    _in_columns,
    _write_columns,
)
