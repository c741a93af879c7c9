"""SPA-VL, as published on the hub and as its authors' training code takes it."""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from spavl.published.layouts.layout import Cells, Layout
from spavl.published.rows import CLASSES, TEXTS, Row

TEXT_COLUMNS = {"question": "text", "chosen": "text", "rejected": "text"}


def _as_it_is(cells: Cells) -> Iterable[Cells]:
    yield cells


def _published(row: Row, picture: Any, number: int) -> Cells:
    texts = {name: getattr(row, name) for name in (*TEXT_COLUMNS, *CLASSES)}
    return {"image": picture, **texts, "image_name": row.image_name}


def _by_path(cells: Cells) -> Iterable[Cells]:
    """Rows whose picture lies in the folder of its class: class1/class2/class3/170.jpg."""
    place = cells.get("image")
    parts = PurePosixPath(place).parts[-4:-1] if isinstance(place, str) else ()
    yield {**cells, **(dict(zip(CLASSES, parts, strict=True)) if len(parts) == 3 else {})}


def _for_training(row: Row, picture: Any, number: int) -> Cells:
    texts = {name: getattr(row, name) for name in TEXT_COLUMNS}
    return {"id": number, "image": picture, **texts}


SPA_VL = Layout(
    "spa_vl",
    "https://huggingface.co/datasets/sqrti/SPA-VL",
    TEXT_COLUMNS,
    ("image_name", *TEXTS),
    _as_it_is,
    _published,
)
SPA_VL_RLHF = Layout(
    "spa_vl_rlhf",
    "https://github.com/EchoseChen/SPA-VL-RLHF, README.md and all_utils/data_utils",
    {"id": "", **TEXT_COLUMNS},
    (),
    _by_path,
    _for_training,
)
