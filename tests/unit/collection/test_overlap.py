"""What two splits have in common is found, nothing else is, and it can be mended."""

import io
from dataclasses import replace

import PIL.Image
import pytest

from components.collection.checking import PictureDoor
from components.collection.decoding import decode
from components.collection.overlap import drop_overlap, find_overlap
from spavl.published import Row, import_
from spavl.published.row_files import write_rows
from spavl.records import EvalItem, Preference, SetAside
from spavl.settings.collection import CollectionSettings
from spavl.shards import read_manifest, read_records
from tests.unit.collection.planting import CHANGES, PHOTOGRAPHS, natural, png

PICTURES = [png(PIL.Image.fromarray(each)) for each in natural(12, seed=3)]


def changed(content, how):
    with PIL.Image.open(io.BytesIO(content)) as picture:
        return png(how(picture.convert("RGB")))


def row(content, number, **texts):
    said = {"question": f"q{number}", "chosen": f"c{number}", "rejected": "r"}
    return Row(content, f"{number}.png", **{**said, **texts})


def imported(folder, **splits):
    for split, rows in splits.items():
        write_rows(folder / "in", split, rows, "parquet")
    with PictureDoor() as door:
        import_(str(folder / "in"), folder / "out", door.let_in)
    return folder / "out"


def test_a_planted_overlap_of_50_pictures_is_found_and_no_other_in_the_photographs(tmp_path):
    if not PHOTOGRAPHS.is_dir():
        pytest.skip(f"no photographs in {PHOTOGRAPHS}")
    bounds = CollectionSettings(max_side=400)
    files = sorted(PHOTOGRAPHS.iterdir())
    every = [png(decode(path.read_bytes(), bounds)) for path in files]
    train, validation = every[:80], every[80:]
    hows = [lambda picture: picture, *CHANGES.values()]
    planted = [changed(each, hows[n % len(hows)]) for n, each in enumerate(train[:50])]
    trained = [row(each, n) for n, each in enumerate(train)]
    watched = [row(each, 100 + n) for n, each in enumerate([*validation, *planted])]
    without = imported(tmp_path / "without", train=trained, validation=watched[:-50])
    assert not find_overlap(without).pictures
    folder = imported(tmp_path, train=trained, validation=watched)
    overlap = find_overlap(folder)
    same = sum(n % len(hows) == 0 for n in range(50))
    assert overlap.pictures == {
        ("train", "validation", "same picture"): same,
        ("train", "validation", "near-duplicate picture"): 50 - same,
    }
    assert overlap.rows.total() == 50
    given_way = overlap.giving_way["train"]
    named = {
        each.question
        for each in read_records(folder / "train", Preference)
        if each.preference_id in given_way
    }
    assert named == {f"q{n}" for n in range(50)}


def test_test_items_keep_their_pictures_and_training_gives_way(tmp_path):
    item = Row(PICTURES[0], "i.png", "asked?")
    folder = imported(
        tmp_path,
        harm=[item],
        held_out=[row(PICTURES[0], 1)],
        validation=[row(PICTURES[0], 2), row(PICTURES[1], 3)],
        train=[row(PICTURES[0], 4), row(PICTURES[1], 5), row(PICTURES[2], 6)],
    )
    overlap = find_overlap(folder)
    assert overlap.rows == {
        ("validation", "test", "same picture"): 1,
        ("train", "test", "same picture"): 1,
        ("train", "validation", "same picture"): 1,
    }
    assert drop_overlap(folder, overlap) == 3
    left = {each.question for each in read_records(folder / "train", Preference)}
    assert left == {"q6"}
    assert len([*read_records(folder / "test/items", EvalItem)]) == 1
    aside = [*read_records(folder / "images/set_asides", SetAside)]
    assert {each.reason for each in aside} == {
        "overlap: same picture in test", "overlap: same picture in validation",
    }  # fmt: skip
    assert not find_overlap(folder).rows
    assert read_manifest(folder / "images").rows == 3


def test_the_same_question_and_answer_overlap_whatever_the_picture(tmp_path):
    folder = imported(
        tmp_path,
        validation=[row(PICTURES[0], 1, question="What  is\nThis?", chosen="A bag.")],
        train=[
            row(PICTURES[1], 2, question="what is this?", chosen="a bag."),
            row(PICTURES[2], 3, question="what is this?", chosen="another"),
        ],
    )
    overlap = find_overlap(folder)
    assert overlap.rows == {("train", "validation", "same question and answer"): 1}
    assert not overlap.pictures


def test_what_one_split_repeats_is_no_overlap(tmp_path):
    again = replace(row(PICTURES[0], 1), rejected="other")
    folder = imported(tmp_path, train=[row(PICTURES[0], 1), again, row(PICTURES[0], 1)])
    overlap = find_overlap(folder)
    assert not overlap.rows
    assert drop_overlap(folder, overlap) == 0
    assert read_manifest(folder / "train").rows == 3
