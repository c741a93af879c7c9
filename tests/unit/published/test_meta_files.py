"""What the published `meta_files` say is joined by a row's own texts, and nothing is guessed."""

import json

import pytest

from spavl.published import import_
from spavl.published.meta_files import read_meta
from spavl.published.row_files import write_rows
from spavl.published.rows import Row
from spavl.records import Preference
from spavl.shards import read_records
from tests.unit.published.test_round_trip import let_in, picture


def told(folder, place, content):
    path = folder / "meta_files" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "answers",
    [
        [{"image": "1.jpg", "question": "A?", "Otter": "no", "LLaVA_1.5": "yes"}],
        [{"q": "A?", "answers": {"Otter": "no", "LLaVA_1.5": "yes"}}],
        [{"q": "A?", "answers": [{"model": "Otter", "answer": "no"},
                                 {"model": "LLaVA_1.5", "answer": "yes"}]}],
        {"1.jpg": {"Otter": ["no"], "LLaVA_1.5": ["yes"]}},
    ],
)  # fmt: skip
def test_kinds_and_responders_are_joined_whatever_the_columns_are(tmp_path, answers):
    write_rows(tmp_path / "in", "train", [Row(picture(1), "1.png", "A?", "no", "yes")], "json")
    told(tmp_path / "in", "split/hardq.json", [{"x": "A?"}])
    told(tmp_path / "in", "split/easy.json", [{"x": "B?"}])
    told(tmp_path / "in", "model_answer/hardq.json", answers)
    imported = import_(str(tmp_path / "in"), tmp_path / "out", let_in)
    (row,) = read_records(tmp_path / "out/train", Preference)
    assert row.kind == "hard_question"
    assert (row.chosen_responder, row.rejected_responder) == ("Otter", "LLaVA_1.5")
    assert imported.joined == {"kinds": 1, "responders": 2}


def test_what_stands_in_two_places_stays_unknown(tmp_path):
    told(tmp_path, "split/hardq.json", [{"q": "A?"}])
    told(tmp_path, "split/easy.json", [{"q": "A?"}, {"q": "B?"}])
    told(tmp_path, "model_answer/easy.json", [{"Otter": "I cannot.", "Qwen": "I cannot."}])
    meta = read_meta(tmp_path)
    assert (meta.kind("A?"), meta.kind("B?"), meta.kind("C?")) == (None, "easy_question", None)
    assert meta.responder("I cannot.") is None


def test_a_file_that_is_broken_is_told_and_the_rows_come_in(tmp_path):
    write_rows(tmp_path / "in", "train", [Row(picture(1), "1.png", "A?", "no", "yes")], "json")
    told(tmp_path / "in", "split/easy.json", [{"q": "A?"}])
    (tmp_path / "in/meta_files/split/hards.json").write_text('[{"q": ')
    imported = import_(str(tmp_path / "in"), tmp_path / "out", let_in)
    assert imported.rows == {"train": 1}
    assert imported.joined == {"kinds": 1}
    assert "hards.json" in imported.unread[0]
