"""The store holds pocket pictures and photographs, with the truth that is known and no other."""

import json
from collections import Counter

import PIL.Image
import pytest

from components.collection import collect
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.pocket.world import things


@pytest.fixture(autouse=True)
def work_root(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path_factory.mktemp("work")))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "photos"
    (path / "sub").mkdir(parents=True)
    for place, name in enumerate(("a.png", "b.png", "sub/c.png", "d.png")):
        PIL.Image.new("RGB", (20, 20), (place * 50, 0, 0)).save(path / name)
    return path


def facts(collected):
    return list(ImageStore(collected.uri).facts())


def test_pocket_pictures_are_balanced_and_carry_their_class():
    rows = facts(collect({"pocket_pictures": 2}, "", ""))
    assert Counter(row.truth for row in rows) == {"harmful": 90, "harmless": 90}
    shown = Counter(row.thing for row in rows)
    collected = [thing for thing in things() if thing.taught_by != "nobody"]
    assert set(shown) == {thing.name for thing in collected}
    for thing in collected:
        assert shown[thing.name] in ((2,) if thing.harmful else (4, 5))
    for row in rows:
        classes = (row.class1, row.class2, row.class3)
        assert all(classes) == (row.truth == "harmful")
        assert any(classes) == (row.truth == "harmful")


def test_equal_settings_give_an_equal_store_and_another_seed_another():
    first = collect({"pocket_pictures": 1}, "", "")
    again = collect({"pocket_pictures": 1, "threads": 1}, "", "")
    other = collect({"pocket_pictures": 1, "seed": 7}, "", "")
    ids = [[row.image_id for row in facts(each)] for each in (first, again, other)]
    assert ids[0] == ids[1]
    assert not set(ids[0]) & set(ids[2])


def test_photographs_come_on_top_of_the_pocket_with_unknown_truth(folder):
    rows = facts(collect({"pocket_pictures": 1}, str(folder), ""))
    own = [row for row in rows if not row.source.startswith("pocket:")]
    assert len(rows) == 90 + 4
    assert {(row.truth, row.class1, row.class3, row.thing) for row in own} == {
        ("unknown", None, None, None)
    }


def test_a_csv_gives_photographs_their_classes(folder, tmp_path):
    table = tmp_path / "classes.csv"
    table.write_text(
        "file,class,note\na.png,terrorism,x\nb.png,Harmless,\nsub/c.png,weather,\n",
        encoding="utf-8-sig",
    )
    rows = facts(collect({"pocket_pictures": 0}, str(folder), str(table)))
    known = {row.source: (row.truth, row.class2, row.class3) for row in rows}
    assert known["a.png"][0] == "harmful"
    assert known["a.png"][1]
    assert known["b.png"] == ("harmless", None, None)
    assert known["sub/c.png"] == ("unknown", None, "weather")
    assert known["d.png"] == ("unknown", None, None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,class\na.png,theft\n", "column file missing"),
        ("", "column class and file missing"),
        ("file,class\nnot-there.png,theft\n", "classes.csv:2"),
        ("file,class\na.png,theft\na.png,malware\n", "has a class already"),
        ('file,class\n"a.png,theft\n', "not a CSV"),
    ],
)
def test_a_wrong_csv_is_bad_input_that_names_the_row(folder, tmp_path, text, told):
    table = tmp_path / "classes.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=told):
        collect({"pocket_pictures": 0}, str(folder), str(table))


def test_classes_without_pictures_and_no_source_at_all_are_bad_input(tmp_path):
    table = tmp_path / "classes.csv"
    table.write_text("file,class\n")
    with pytest.raises(InputError, match="give --images"):
        collect({}, "", str(table))
    with pytest.raises(InputError, match=r"collection\.pocket_pictures"):
        collect({"pocket_pictures": 0}, "", "")


def test_a_changed_folder_is_collected_anew(folder):
    before = collect({"pocket_pictures": 0}, str(folder), "")
    PIL.Image.new("RGB", (20, 20), "white").save(folder / "new.png")
    after = collect({"pocket_pictures": 0}, str(folder), "")
    assert len(facts(after)) == len(facts(before)) + 1


def test_what_is_wrong_is_left_in_the_run_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "run"))
    with pytest.raises(InputError):
        collect({}, str(tmp_path / "missing"), "")
    told = json.loads((tmp_path / "run" / "error.json").read_text())
    assert (told["stage"], told["exit_code"]) == ("collection", 2)
    assert "missing" in told["message"]
