"""VLGuard: a picture with questions and one answer each, so questions alone come of it.

What asks for something harmful becomes an item of `harm`, what is harmless one of `help`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from spavl.published.layouts.layout import Cells, Layout
from spavl.published.pictures import BadRowError
from spavl.published.rows import Row

ASKED = {"safe_instruction": "help", "unsafe_instruction": "harm"}


def _read(cells: Cells) -> Iterable[Cells]:
    safe, asked = cells.get("safe"), cells.get("instr-resp")
    if not isinstance(safe, bool) or not isinstance(asked, list):
        raise BadRowError("neither safe nor unsafe, or without instr-resp")
    known = {"class2": cells.get("harmful_category"), "class3": cells.get("harmful_subcategory")}
    for each in asked:
        if not isinstance(each, Mapping):
            raise BadRowError("an instruction of an unknown kind")
        wanted = {**ASKED, "instruction": "help" if safe else "harm"}
        for name, split in wanted.items():
            if each.get(name) is not None:
                yield {**known, "question": each[name], "split": split}


def _write(row: Row, picture: Any, number: int) -> Cells:
    """One row a question: the safety of the picture is that of its class."""
    safe = row.split == "help" or row.class3 is None
    name = ("safe_instruction" if row.split == "help" else "unsafe_instruction") if safe else ""
    asked = dict.fromkeys(("instruction", *ASKED)) | {name or "instruction": row.question}
    return {
        "id": str(number),
        "image": picture,
        "safe": safe,
        "harmful_category": row.class2,
        "harmful_subcategory": row.class3,
        "instr-resp": [{**asked, "response": ""}],
    }


VLGUARD = Layout(
    "vlguard",
    "https://github.com/ys-zong/VLGuard, convert_to_llava_format.py",
    {"instr-resp": "list", "safe": ""},
    ("harmful_category", "harmful_subcategory"),
    _read,
    _write,
    pairs=False,
)
