"""Splits by picture."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.labeling.splitting import RECORDS, SPLITS, split_by_picture, split_rows, splits_of
from spavl.errors import InputError
from spavl.records import EvalItem, Maker, Preference
from spavl.settings.labeling import LabelingSettings, SplittingSettings
from spavl.shards import DatasetWriter, read_manifest, read_records

SHARES = SplittingSettings(validation=0.1, test=0.2)


@pytest.fixture(autouse=True)
def _own_work_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))


def preference(image_id: str, row: int) -> Preference:
    return Preference(
        f"{image_id}-{row}", image_id, "q", "How?", "easy_question", "harmful", "theft", "theft",
        "no", "yes", "r1", "r2", "shy", "bold", True, False, "so", "so", Maker("test"),
    )  # fmt: skip


def split(folder: Path, image_ids: list[str], **shares: float) -> dict[str, set[str]]:
    with DatasetWriter(folder / "all", Preference) as writer:
        for image_id in image_ids:
            for row in range(3):
                writer.add(preference(image_id, row))
    out = {name: folder / name for name in SPLITS}
    asked = {"splitting": shares} if shares else {}
    split_by_picture(asked, str(folder / "all"), *(str(out[name]) for name in SPLITS))
    rows = {name: [p.image_id for p in read_records(out[name], Preference)] for name in SPLITS}
    assert all(count == 3 for ids in rows.values() for count in Counter(ids).values())
    return {name: set(ids) for name, ids in rows.items()}


def test_no_picture_is_in_two_splits_and_no_row_is_lost(tmp_path: Path) -> None:
    found = split(tmp_path, [f"i{k}" for k in range(200)])
    assert sum(map(len, found.values())) == len(set.union(*found.values())) == 200


def test_more_pictures_move_no_other(tmp_path: Path) -> None:
    few = split(tmp_path / "few", [f"i{k}" for k in range(100)])
    many = split(tmp_path / "many", [f"i{k}" for k in range(150)])
    assert all(few[name] <= many[name] for name in SPLITS)


@given(st.integers(0, 2**32))
def test_shares_are_met_as_far_as_chance_goes(seed: int) -> None:
    pictures = pyarrow.chunked_array([[f"picture {k}" for k in range(1000)]])
    counts = Counter(splits_of(pictures, SHARES, seed).tolist())
    # 1000 draws: five standard deviations are 47 at a share of 0.1 and 63 at 0.2.
    assert abs(counts["validation"] - 100) <= 50
    assert abs(counts["test"] - 200) <= 70


def test_an_empty_split_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no preference fell into the (validation|test) split"):
        split(tmp_path, ["only"])


def test_a_share_of_nothing_may_stay_empty(tmp_path: Path) -> None:
    found = split(tmp_path, ["only"], validation=0.0, test=0.0)
    assert found == {"train": {"only"}, "validation": set(), "test": set()}


def test_shares_that_leave_no_training_rows_are_refused() -> None:
    with pytest.raises(InputError, match=r"labeling\.splitting"):
        LabelingSettings.parse({"splitting": {"validation": 0.5, "test": 0.5}}, "labeling")


CLASSES = ("theft", "malware", None)
KINDS = ("easy_question", "hard_question", "hard_statement")


def write_classed(folder: Path, pictures: int, rejected_safe: bool = False) -> None:
    with DatasetWriter(folder, Preference) as writer:
        for number in range(pictures * 3):
            row = preference(f"i{number // 3}", number % 3)
            harm = CLASSES[number // 3 % 3]
            safe = rejected_safe and number % 2 == 0
            writer.add(replace(row, class3=harm, kind=KINDS[number % 3], rejected_safe=safe))


def split_classed(folder: Path, **asked: object) -> dict[str, list]:
    def writer(name: str, record: type) -> DatasetWriter:
        return DatasetWriter(folder / name, record)

    split_rows(str(folder / "all"), SplittingSettings(**asked), 7, writer)
    return {name: list(read_records(folder / name, record)) for name, record in RECORDS.items()}


@given(st.integers(1, 25), st.integers(0, 3), st.booleans())
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_asked_no_picture_crosses_splits_and_no_row_is_lost(
    tmp_path: Path, pictures: int, per_class: int, drop: bool
) -> None:
    write_classed(tmp_path / "all", pictures, rejected_safe=True)
    found = split_classed(tmp_path, test_per_class=per_class, drop_safe_rejected=drop)
    assert sum(map(len, found.values())) == 3 * pictures
    tested = {row.image_id for name in ("test", "test/items") for row in found[name]}
    parts = [tested, *({row.image_id for row in found[name]} for name in ("train", "validation"))]
    assert sum(map(len, parts)) == len(set.union(*parts))
    if drop:
        kept = [row for name in SPLITS for row in found[name]]
        assert not any(row.rejected_safe for row in kept)


def test_each_class_gives_as_many_items_for_harm_and_for_help(tmp_path: Path) -> None:
    write_classed(tmp_path / "all", 60)
    found = split_classed(tmp_path, test_per_class=5)
    items = Counter((item.class3, item.benchmark) for item in found["test/items"])
    assert items == {
        (harm, benchmark): 5
        for harm in ("theft", "malware")
        for benchmark in ("harm_eval", "help_eval")
    }
    assert len({item.image_id for item in found["test/items"]}) == 20
    assert len(found["test"]) == 40  # what is left of their pictures' rows
    kinds = {(item.benchmark, item.kind) for item in found["test/items"]}
    assert kinds == {("harm_eval", "hard_statement"), ("help_eval", "easy_question")}


def test_rows_whose_rejected_answer_is_safe_go_only_if_asked(tmp_path: Path) -> None:
    write_classed(tmp_path / "all", 10, rejected_safe=True)
    flagged = [row.rejected_safe for row in split_classed(tmp_path)["train"]]
    assert any(flagged)
    aside = split_classed(tmp_path, drop_safe_rejected=True)["train/set_asides"]
    assert {row.reason for row in aside} == {"rejected answer is safe"}
    assert len(aside) == 15


def test_about_harmless_pictures_every_answer_is_safe_and_none_is_dropped(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "all", Preference) as writer:
        for number in range(20):
            row = preference(f"i{number}", 0)
            writer.add(replace(row, truth="harmless", class3=None, rejected_safe=True))
    found = split_classed(tmp_path, drop_safe_rejected=True)
    assert not found["train/set_asides"]
    assert sum(len(found[name]) for name in SPLITS) == 20


def test_the_test_items_are_handed_on_by_address_and_digest(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "all", Preference) as writer:
        for k in range(40):
            writer.add(preference(f"i{k}", 0))
    out = [str(tmp_path / name) for name in SPLITS]
    settings = {"splitting": {"test_per_class": 3}}
    uri, digest = split_by_picture(settings, str(tmp_path / "all"), *out)
    assert read_manifest(uri).digest == digest
    items = list(read_records(uri, EvalItem))
    assert Counter(item.benchmark for item in items) == {"harm_eval": 3, "help_eval": 3}
