"""Published rows whose texts no file can hold, or whose names are numbers, come in all the same."""

import json

import pytest

from spavl.published.files import read_rows
from spavl.storable import MARK
from tests.unit.published.test_round_trip import picture


def rows(folder, **changes):
    (folder / "images").mkdir(exist_ok=True)
    (folder / "images" / "a.png").write_bytes(picture(1))
    row = {"image": "images/a.png", "question": "What?", "chosen": "no", "rejected": "yes"}
    path = folder / "train.json"
    path.write_text(json.dumps([{**row, **changes}]))
    return list(read_rows(path, "train"))


@pytest.mark.parametrize("column", ["question", "chosen", "rejected", "image_name"])
@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("cut \ud83d", f"cut {MARK}"),
        ("\ude00 tail", f"{MARK} tail"),
        ("a\x00b", f"a{MARK}b"),
        ("\udcff", MARK),
        ("\ud83d\ude00", "\U0001f600"),
    ],
)
def test_what_utf_8_cannot_hold_is_marked(tmp_path, column, text, read):
    (row,) = rows(tmp_path, **{column: text})
    assert getattr(row, column) == read


@pytest.mark.parametrize("name", [7, 10**20, 0, -3])
def test_a_pictures_name_may_be_a_whole_number(tmp_path, name):
    (row,) = rows(tmp_path, image_name=name)
    assert row.image_name == (str(name) if name else "a.png")


@pytest.mark.parametrize("name", [["a"], {"a": 1}, True, 1.5, float("nan")])
def test_a_name_of_another_kind_costs_its_row_alone(tmp_path, name):
    (row,) = rows(tmp_path, image_name=name)
    assert row.reason == "an image_name that is no text"


def test_a_byte_order_mark_is_no_fault(tmp_path):
    rows(tmp_path)
    path = tmp_path / "train.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(list(read_rows(path, "train"))) == 1
