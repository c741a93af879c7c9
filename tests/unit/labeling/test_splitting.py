"""Splits by picture."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.labeling.splitting import SPLITS, split_by_picture, split_of
from spavl.errors import InputError
from spavl.records import Maker, Preference
from spavl.settings.labeling import LabelingSettings, SplittingSettings
from spavl.shards import DatasetWriter, read_records

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
    settings = {"splitting": shares} if shares else {}
    split_by_picture(settings, str(folder / "all"), *(str(out[name]) for name in SPLITS))
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
    counts = Counter(split_of(f"picture {k}", SHARES, seed) for k in range(1000))
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
