"""The gallery's files hold every row, and what they say cannot leave its quotes."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest

from components.reporting.gallery import Collection, GalleryRow, Said, write_gallery
from components.reporting.gallery_rows import evaluation_rows, gallery_collections, preference_rows
from spavl.images import ImageStore
from tests.unit.reporting.made_by_hand import HOSTILE


def called(file: Path) -> list[object]:
    """The arguments of the one call that a data file makes, which must be JSON."""
    text = file.read_text(encoding="ascii")
    found = re.fullmatch(r"gallery\.\w+\((.*)\);\n", text)
    assert found
    return json.loads(f"[{found.group(1)}]")


def rows(count: int) -> list[GalleryRow]:
    return [
        GalleryRow(
            None, False, f"q{n}", (Said("a", "text", "safe", True),), "", {"odd": str(n % 2)}
        )
        for n in range(count)
    ]


@pytest.fixture
def store(make_run) -> ImageStore:
    return ImageStore(make_run().images)


def write(folder: Path, store: ImageStore, count: int, most: int) -> Path:
    write_gallery(folder / "gallery", [Collection("all", "All", rows(count), store)], most, 32)
    return folder / "gallery"


def test_rows_lie_in_files_of_500_and_codes_name_their_values(store, tmp_path):
    gallery = write(tmp_path, store, 1201, 5000)
    files = [called(gallery / f"all/rows-{n:03}.js") for n in range(3)]
    assert [(number, len(chunk)) for number, chunk in files] == [(0, 500), (1, 500), (2, 201)]
    assert files[2][1][200] == [None, False, "q1200", [["a", "text", "safe", True]], ""]
    (index,) = called(gallery / "all/index.js")
    (facet,) = index["facets"]
    codes = np.frombuffer(base64.b64decode(facet["codes"]), "<u2")
    assert [facet["values"][code] for code in codes] == [str(n % 2) for n in range(1201)]
    assert (index["count"], index["rows_per_file"]) == (1201, 500)


@pytest.mark.parametrize(("most", "count", "cut"), [(700, 700, True), (1201, 1201, False)])
def test_rows_beyond_the_limit_are_left_out_and_the_page_says_so(store, tmp_path, most, count, cut):
    gallery = write(tmp_path, store, 1201, most)
    (index,) = called(gallery / "all/index.js")
    assert index["count"] == count
    assert ("Only the first 700 rows" in (gallery / "all.html").read_text()) == cut


def test_a_gallery_written_anew_keeps_nothing_of_the_old(store, tmp_path):
    write(tmp_path, store, 1201, 5000)
    gallery = write(tmp_path, store, 3, 5000)
    assert [file.name for file in sorted((gallery / "all").iterdir())] == [
        "index.js",
        "rows-000.js",
    ]


def test_preferences_say_who_was_chosen_and_how_safe(make_run):
    found = list(preference_rows(make_run()))
    assert [row.facets["split"] for row in found] == ["train", "validation", *["test"] * 4]
    assert found[0].facets["safety"] == "safe over unsafe"
    assert found[0].facets["class"] == "theft"
    assert found[0].said == (
        Said("chosen, careful", "No.", "safe", True),
        Said("rejected, careless", "Sure.", "unsafe", False),
    )


def test_every_judged_answer_is_there_with_its_outcome(make_run):
    found = list(evaluation_rows(make_run()))
    assert [row.facets["models"] for row in found] == ["agree", "differ", "differ"]
    assert found[1].said[0] == Said("base", HOSTILE, "unsafe", False)
    assert found[1].facets["PPO"] == "refused"
    assert [row.veiled for row in found] == [True, True, False]


def test_pictures_are_encoded_anew_once_each(make_run, tmp_path):
    inputs = make_run(items=9)
    write_gallery(tmp_path / "gallery", gallery_collections(inputs), 100, 32)
    pictures = sorted((tmp_path / "gallery/pictures").iterdir())
    assert len(pictures) == 3
    assert all(each.read_bytes()[8:12] == b"WEBP" for each in pictures)
    _, found = called(tmp_path / "gallery/evaluation/rows-000.js")
    assert found[1][3][0][1] == HOSTILE
