"""What goes out in the published layout comes in again as the same rows."""

import io
import json
from pathlib import Path

import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spavl.errors import InputError
from spavl.images import Picture
from spavl.published import COLUMNS, Manner, Row, export, import_
from spavl.published.exporting import Source
from spavl.published.files import files_of, read_rows
from spavl.published.row_files import write_rows
from spavl.records import EvalItem, Image, Preference, SetAside
from spavl.shards import read_manifest, read_records

SCAMS = {"class1": "Malicious Use", "class2": "Fraud or deceptive action", "class3": "scamns"}
KNITTING = {"class1": "Handicrafts", "class2": "Wool", "class3": "knitting"}


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (12, 9), (number % 256, number // 256, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def row(split: str, number: int, classes: dict[str, str] | None = None, text: str = "so") -> Row:
    answers = {"chosen": f"no, {text}", "rejected": f"yes, {text}"}
    known = {} if split == "train" else classes or {}
    given_ = answers if "chosen" in COLUMNS[split] else {}
    return Row(picture(number), f"{number}.png", f"What? {text}", **given_, **known)


def write(folder: Path, form: str = "json") -> Path:
    for begin, split in enumerate(COLUMNS):
        kinds = (SCAMS, KNITTING, None)
        rows = [row(split, 100 * begin + k // 2, kinds[k % 6 // 2], f"{k}") for k in range(12)]
        write_rows(folder, split, rows, form)
    return folder


def rows_of(folder: Path) -> dict[str, list[Row]]:
    return {
        split: [each for path in files_of(folder, split) for each in read_rows(path, split)]
        for split in COLUMNS
    }


def let_in(content: bytes) -> Picture | str:
    return Picture(content, "image/png", 12, 9)


@pytest.mark.parametrize(("first", "second"), [("json", "parquet"), ("parquet", "json")])
def test_rows_come_back_as_they_went(tmp_path: Path, first: str, second: str) -> None:
    published = write(tmp_path / "published", first)
    import_(str(published), tmp_path / "ours", let_in)
    export(Source.below(tmp_path / "ours"), tmp_path / "again", Manner(second, "cc-by-4.0"))
    import_(str(tmp_path / "again"), tmp_path / "twice", let_in)
    assert rows_of(published) == rows_of(tmp_path / "again")
    for name in ("images", "train", "validation", "test", "test/items"):
        digests = {read_manifest(tmp_path / each / name).digest for each in ("ours", "twice")}
        assert len(digests) == 1


@given(st.text(), st.text(min_size=1))
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_text_survives_both_forms(tmp_path: Path, question: str, name: str) -> None:
    text = question.encode("utf-8", "ignore").decode().replace("\x00", "") + "?"
    wanted = Row(picture(1), "1.png", text, "a" + text, text + "b")
    for form in ("json", "parquet"):
        write_rows(tmp_path / form, "train", [wanted], form)
        assert rows_of(tmp_path / form)["train"] == [wanted]


def test_published_spellings_become_ours_and_unknown_classes_stay(tmp_path: Path) -> None:
    imported = import_(str(write(tmp_path / "published")), tmp_path / "ours", let_in)
    classes = {each.class3 for each in read_records(tmp_path / "ours/validation", Preference)}
    assert classes == {"scams", "knitting", None}
    assert imported.unknown_classes == {"knitting": 16}
    stored = {(p.class1, p.truth) for p in read_records(tmp_path / "ours/images", Image)}
    assert ("malicious use", "harmful") in stored
    assert ("Handicrafts", "harmful") in stored


def test_training_rows_take_the_class_of_their_picture(tmp_path: Path) -> None:
    write_rows(tmp_path / "a", "validation", [row("validation", 1, SCAMS)], "json")
    write_rows(tmp_path / "a", "train", [row("train", 1), row("train", 2)], "json")
    import_(str(tmp_path / "a"), tmp_path / "ours", let_in)
    train = list(read_records(tmp_path / "ours/train", Preference))
    assert [(each.class3, each.truth) for each in train] == [
        ("scams", "harmful"), (None, "unknown"),
    ]  # fmt: skip


def test_our_own_classes_and_truths_come_back_though_training_rows_carry_none(
    tmp_path: Path,
) -> None:
    write_rows(tmp_path / "a", "train", [row("train", k) for k in range(3)], "json")
    table = "0.png,harmful,Malicious Use,Fraud or deceptive action,scamns\n1.png,harmless,,,\n"
    (tmp_path / "a/classes.csv").write_text("image_name,truth,class1,class2,class3\n" + table)
    import_(str(tmp_path / "a"), tmp_path / "b", let_in)
    export(Source.below(tmp_path / "b"), tmp_path / "c", Manner("parquet", "mit"))
    import_(str(tmp_path / "c"), tmp_path / "d", let_in)
    for folder in (tmp_path / "b", tmp_path / "d"):
        known = [(each.class3, each.truth) for each in read_records(folder / "train", Preference)]
        assert known == [("scams", "harmful"), (None, "harmless"), (None, "unknown")]


def test_a_name_that_leads_elsewhere_is_replaced(tmp_path: Path) -> None:
    rows = [Row(picture(k), name, "?", "a", "b") for k, name in enumerate(("../x.png", "a\0.png"))]
    write_rows(tmp_path / "a", "train", rows, "parquet")
    import_(str(tmp_path / "a"), tmp_path / "b", let_in)
    export(Source.below(tmp_path / "b"), tmp_path / "c", Manner("json", "mit"))
    names = {path.name for path in (tmp_path / "c/images").iterdir()}
    ids = {each.image_id for each in read_records(tmp_path / "b/images", Image)}
    assert names == {f"{each}.png" for each in ids}


def test_pictures_are_checked_and_their_rows_set_aside(tmp_path: Path) -> None:
    def broken(content: bytes) -> Picture | str:
        return "truncated" if content == picture(0) else let_in(content)

    imported = import_(str(write(tmp_path / "published")), tmp_path / "ours", broken)
    aside = list(read_records(tmp_path / "ours/images/set_asides", SetAside))
    assert imported.set_aside == {"truncated": 2}
    assert {each.reason for each in aside} == {"truncated"}
    assert all(each.record_id == "0.png" for each in aside)


def test_tests_become_items_of_published_source(tmp_path: Path) -> None:
    import_(str(write(tmp_path / "published")), tmp_path / "ours", let_in)
    items = list(read_records(tmp_path / "ours/test/items", EvalItem))
    assert {(each.benchmark, each.source) for each in items} == {
        ("harm_eval", "published"), ("help_eval", "published"),
    }  # fmt: skip
    assert len(items) == 24


def test_a_picture_outside_the_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(picture(1))
    (tmp_path / "data").mkdir()
    told = [{"image": "../secret.png", "question": "?", "chosen": "a", "rejected": "b"}]
    (tmp_path / "data/train.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match="no picture"):
        import_(str(tmp_path / "data"), tmp_path / "ours", let_in)


@pytest.mark.parametrize("text", ["[{]", '[{"image": "a"', "12", "[1, 2]", ""])
def test_a_broken_file_is_told_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(InputError, match=r"train\.json|no rows in the published layout"):
        import_(str(tmp_path), tmp_path / "ours", let_in)


def test_the_card_tells_counts_rates_and_licence(tmp_path: Path) -> None:
    import_(str(write(tmp_path / "published")), tmp_path / "ours", let_in)
    export(Source.below(tmp_path / "ours"), tmp_path / "out", Manner("parquet", "cc-by-4.0"))
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith("---\nlicense: cc-by-4.0\n")
    assert "| train | 12 | " in card
    assert "| scams | " in card


def test_the_hubs_library_reads_what_we_write(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = write(tmp_path / "published", "parquet")
    read = datasets.Dataset.from_parquet(
        str(files_of(folder, "train")[0]), cache_dir=str(tmp_path / "cache")
    )
    assert isinstance(read.features["image"], datasets.Image)
    assert read[0]["image"].size == (12, 9)
