"""Pictures of published rows come in whatever column and form they are in, upright as collected."""

import json

import PIL.Image
import pyarrow
import pytest
from pyarrow import parquet

from components.collection.checking import PictureDoor
from components.collection.decoding import decode, encode
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.published import import_
from spavl.published.files import read_rows
from spavl.published.pictures import BadRowError
from spavl.settings.collection import CollectionSettings
from tests.unit.collection.test_hostile_files import oriented
from tests.unit.published.test_round_trip import let_in, picture

ROW = {"question": "What?", "chosen": "no", "rejected": "yes"}
PNG = picture(1)


def table(folder, pictures, column="image", kind=None):
    (folder / "pictures").mkdir(exist_ok=True)
    (folder / "pictures" / "a.png").write_bytes(PNG)
    columns = {name: [text] * len(pictures) for name, text in ROW.items()}
    columns[column] = pyarrow.array(pictures, kind)
    path = folder / "train.parquet"
    parquet.write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.parametrize("column", ["image", "images", "picture", "img"])
@pytest.mark.parametrize(
    "cell",
    [
        PNG,
        "pictures/a.png",
        {"bytes": PNG, "path": None},
        {"bytes": None, "path": "pictures/a.png"},
        {"bytes": b"", "path": "pictures/a.png"},
        {"path": "pictures/a.png"},
        {"bytes": PNG},
        [{"bytes": PNG, "path": "a.png"}],
        [PNG],
        ["pictures/a.png"],
    ],
    ids=lambda cell: str(cell)[:24],
)
def test_a_picture_is_found_in_every_form(tmp_path, column, cell):
    (row,) = read_rows(table(tmp_path, [cell], column), "train")
    assert row.content == PNG


@pytest.mark.parametrize("kind", ["large_binary", "binary_view", "fixed", "dictionary"])
def test_a_picture_may_be_of_any_kind_of_bytes(tmp_path, kind):
    kinds = {
        "large_binary": pyarrow.large_binary(),
        "binary_view": pyarrow.binary_view(),
        "fixed": pyarrow.binary(len(PNG)),
        "dictionary": pyarrow.dictionary(pyarrow.int32(), pyarrow.binary()),
    }
    (row,) = read_rows(table(tmp_path, [PNG], kind=kinds[kind]), "train")
    assert row.content == PNG


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "no picture in this row"),
        ({"bytes": None, "path": None}, "no picture in this row"),
        ([], "no picture in this row"),
        ([PNG, PNG], "several pictures in this row"),
        ("pictures/b.png", "no picture of that name"),
        ("../../etc/hostname", "no picture of that name"),
        ("/etc/hostname", "no picture of that name"),
        ("pictures", "no picture of that name"),
        ("a\x00b", "no picture of that name"),
        (7, "a picture of an unknown kind"),
        (1.5, "a picture of an unknown kind"),
    ],
)
def test_a_row_without_a_picture_costs_itself_alone(tmp_path, cell, reason):
    table(tmp_path, [])
    path = tmp_path / "train.json"
    good = {**ROW, "image": "pictures/a.png"}
    cell = {"bytes": None, "path": None} if isinstance(cell, dict) else cell
    if isinstance(cell, list) and cell:
        cell = ["pictures/a.png"] * 2
    path.write_text(json.dumps([good, {**ROW, "image": cell}, good]))
    first, bad, last = read_rows(path, "train")
    assert isinstance(bad, BadRowError)
    assert bad.reason == reason
    assert first == last
    (tmp_path / "train.parquet").unlink()
    imported = import_(str(tmp_path), tmp_path / "out", let_in)
    assert (imported.rows["train"], imported.set_aside) == (2, {reason: 1})


def test_columns_without_pictures_are_named(tmp_path):
    path = table(tmp_path, [b"x"], "photo")
    with pytest.raises(InputError, match="among: question, chosen, rejected, photo"):
        list(read_rows(path, "train"))


def test_a_pipe_or_a_huge_file_in_a_pictures_place_costs_its_row(tmp_path):
    import os

    path = table(tmp_path, ["pictures/pipe", "pictures/huge", "pictures/a.png"])
    os.mkfifo(tmp_path / "pictures/pipe")
    with (tmp_path / "pictures/huge").open("wb") as stream:
        stream.truncate(3 * 2**30)
    pipe, huge, good = read_rows(path, "train")
    assert (pipe.reason, huge.reason) == ("no picture of that name", "too large")
    assert good.content == PNG


def test_values_repeated_by_a_dictionary_are_read_a_few_at_a_time(tmp_path):
    large = pyarrow.DictionaryArray.from_arrays([0] * 64, [bytes(60 * 2**20)])
    path = table(tmp_path, large)
    assert path.stat().st_size < 2**22
    before = pyarrow.default_memory_pool().max_memory()
    rows = list(read_rows(path, "train"))
    assert len(rows) == 64
    assert pyarrow.default_memory_pool().max_memory() - before < 2**30


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "RGB"), ("TIFF", "RGB"), ("TIFF", "I;16"), ("PNG", "P"), ("WEBP", "RGB"),
     ("PNG", "RGBA")],
)  # fmt: skip
def test_an_imported_picture_is_stored_as_a_collected_one(tmp_path, kind, mode):
    contents = [oriented(kind, mode, each) for each in range(1, 9)]
    path = table(tmp_path, contents)
    with PictureDoor() as door:
        import_(str(path.parent), tmp_path / "out", door.let_in)
    store = ImageStore(str(tmp_path / "out/images"))
    wanted = {encode(decode(each, CollectionSettings())).content for each in contents}
    assert {store.content(facts.image_id) for facts in store.facts()} == wanted
    for facts in store.facts():
        assert (facts.width, facts.height) == store.open(facts.image_id).size == (48, 64)


def test_the_same_pixels_in_other_bytes_are_one_picture(tmp_path):
    again = PIL.Image.new("RGB", (12, 9), (1, 0, 7))
    again.save(tmp_path / "b.bmp")
    path = table(tmp_path, [PNG, (tmp_path / "b.bmp").read_bytes()])
    with PictureDoor() as door:
        imported = import_(str(path.parent), tmp_path / "out", door.let_in)
    assert (imported.rows["train"], imported.pictures.total()) == (2, 1)


@pytest.mark.parametrize("name", [b"question", b"chosen", b"image"])
def test_a_column_whose_name_is_no_text_is_one_line(tmp_path, name):
    path = table(tmp_path, [PNG])
    path.write_bytes(path.read_bytes().replace(name, b"\xff" * len(name)))
    with pytest.raises(InputError, match=r"not a Parquet file|no column of pictures"):
        list(read_rows(path, "train"))
