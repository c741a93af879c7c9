"""From a data set at an address to points with their rows and settings."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml

from components.ablation.points import draw_points
from components.importing import data_digest, import_data
from spavl.errors import InputError
from spavl.points import read_points
from spavl.published.sources import Imported
from spavl.records import Image, Maker, Preference
from spavl.shards import DatasetWriter, read_records

PLAN = {
    "seeds": [1, 2],
    "tasks": 2,
    "variants": {
        "few": {"rows": {"pairs": 4}},
        "all": {},
        "adapted": {"dpo": {"use_peft": True, "lora_r": 8}},
        "by-ppo": {"method": "ppo", "ppo": {"total_episodes": 256}},
        "other": {"base_model": {"seed": 7}},
        "other-base": {"method": "base", "base_model": {"seed": 7}},
    },
    "axes": {
        "scale": {"by": "pairs", "x": "pairs", "variants": ["few", "all"]},
        "rest": {"by": "?", "variants": ["all", "adapted", "by-ppo", "other", "other-base"]},
    },
}
SETTINGS: dict = {"dpo": {}, "ppo": {}, "reward_modeling": {}, "base_model": {}}


@pytest.fixture(autouse=True)
def _own_work_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))


def preference(preference_id: str) -> Preference:
    return Preference(
        preference_id, "i", "q", "How?", "easy_question", "harmful", None, "theft", "no", "yes",
        "r1", "r2", "shy", "bold", True, False, "", "", Maker("hand"),
    )  # fmt: skip


def data_sets(made: Path) -> Path:
    """Data sets as `spavl import` leaves them: ten pairs to train on, a picture."""
    for split, rows in (("train", 10), ("validation", 2), ("test", 2)):
        with DatasetWriter(made / split, Preference) as writer:
            for number in range(rows):
                writer.add(preference(f"{split}{number}"))
    with DatasetWriter(made / "images", Image) as writer:
        none = (None, None, None, None)
        writer.add(Image("i", b"x", "image/png", 1, 1, "hand", "harmful", *none))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return data_sets(tmp_path / "data")


def drawn(imported: Imported, **parts: object):
    return draw_points(yaml.safe_dump({**PLAN, **parts}), [], SETTINGS, imported)


def test_every_variant_has_a_point_for_every_seed_with_its_own_rows(folder: Path) -> None:
    points = read_points(drawn(import_data(str(folder))).points_uri)
    assert len(points) == 1 + 5 * 2 + 1  # the base, five trained ones twice, another base
    few = {seed: points[f"few-s{seed}"] for seed in (1, 2)}
    rows = {seed: [p.preference_id for p in read_records(few[seed].train, Preference)]
            for seed in (1, 2)}  # fmt: skip
    assert [len(each) for each in rows.values()] == [4, 4]
    assert rows[1] != rows[2]
    assert [few[seed].settings["dpo"]["seed"] for seed in (1, 2)] == [1, 2]
    assert points["all-s1"].pairs == 10


def test_settings_and_backbones_are_the_variants_own(folder: Path) -> None:
    points = read_points(drawn(import_data(str(folder))).points_uri)
    assert points["adapted-s1"].settings["dpo"]["lora_r"] == 8
    assert points["all-s1"].settings["dpo"]["use_peft"] is False
    assert set(points["by-ppo-s1"].settings) == {"ppo", "reward_modeling"}
    assert points["by-ppo-s2"].settings["ppo"]["total_episodes"] == 256
    assert points["other-s1"].backbone == points["other-base"].backbone
    assert points["other-s1"].backbone != points["base"].backbone
    assert points["other-base"].seed == 0


def test_points_are_dealt_once_each_over_the_tasks(folder: Path) -> None:
    found = drawn(import_data(str(folder)))
    dealt = Counter(name for group in found.groups for name in group.split(","))
    assert set(dealt) == set(read_points(found.points_uri))
    assert set(dealt.values()) == {1}
    assert len(found.groups) == 2


def test_a_wrong_setting_names_its_variant(folder: Path) -> None:
    variants = {**PLAN["variants"], "adapted": {"dpo": {"lora_rank": 8}}}  # type: ignore[dict-item]
    with pytest.raises(InputError, match=r"variants\.adapted-s1\.lora_rank"):
        drawn(import_data(str(folder)), variants=variants)


def test_a_torn_shard_is_refused(folder: Path) -> None:
    part = folder / "train" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match="import or copy"):
        import_data(str(folder))


def test_a_torn_copy_of_what_was_found_whole_is_refused(folder: Path, tmp_path: Path) -> None:
    import_data(str(folder))
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "test" / "part-00000.parquet").write_bytes(b"")
    with pytest.raises(InputError, match=str(copy)):
        import_data(str(copy))


def test_what_lies_at_the_address_is_checked(folder: Path, tmp_path: Path) -> None:
    assert import_data(f"file://{folder}").digest == data_digest(str(folder))
    with pytest.raises(InputError, match="no such folder"):
        import_data(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no data sets in this folder"):
        import_data(str(tmp_path / "empty"))
    (folder / "images" / "manifest.json").write_text(
        (folder / "train" / "manifest.json").read_text()
    )
    with pytest.raises(InputError, match="a data set of Preference"):
        data_digest(str(folder))
