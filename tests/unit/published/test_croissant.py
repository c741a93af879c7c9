"""An export's description is valid Croissant by which rows are read, and it tells of lineage."""

import json
from pathlib import Path

import pytest

from spavl.published import LAYOUTS, Manner, export, import_
from spavl.published.exporting import Source
from spavl.shards import read_manifest
from tests.unit.published.test_round_trip import let_in, write


def exported(folder: Path, layout: str, form: str) -> Path:
    import_(str(write(folder / "published")), folder / "ours", let_in)
    manner = Manner(form, "cc-by-4.0", LAYOUTS[layout])
    export(Source.below(folder / "ours"), folder / "out", manner)
    return folder / "out/croissant.json"


@pytest.mark.parametrize("form", ["json", "jsonl", "parquet"])
@pytest.mark.parametrize("layout", [*LAYOUTS])
def test_mlcroissant_validates_it_and_reads_every_row(
    tmp_path: Path, layout: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    described = mlcroissant.Dataset(str(exported(tmp_path, layout, form)))
    assert not described.metadata.issues.errors
    sets = [each.id for each in described.metadata.record_sets]
    assert sets
    for name in sets:
        assert len([*described.records(name)]) == (24 if layout == "vlguard" else 12)


def test_a_row_of_the_published_layout_is_read_with_its_columns(tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    described = mlcroissant.Dataset(str(exported(tmp_path, "spa_vl", "parquet")))
    row = next(iter(described.records("train")))
    assert row["train/question"] == b"What? 0"
    assert row["train/image"].size == (12, 9)


def test_lineage_names_the_data_sets_that_the_rows_are_of(tmp_path: Path) -> None:
    told = json.loads(exported(tmp_path, "spa_vl", "json").read_text())
    names = ("images", "train", "validation", "test", "test/items")
    made = {f"urn:sha256:{read_manifest(tmp_path / 'ours' / name).digest}" for name in names}
    derived = told["prov:wasDerivedFrom"]
    assert {each["@id"] for each in derived} == made
    assert {each["@type"] for each in derived} == {"prov:Entity"}
    activity = derived[0]["prov:wasGeneratedBy"]
    assert (activity["@type"], activity["prov:used"]) == (
        "prov:Activity", {"@id": "file:published"},
    )  # fmt: skip
    assert str(tmp_path) not in json.dumps(told)


def test_no_secret_of_an_address_is_told(tmp_path: Path) -> None:
    path = exported(tmp_path, "spa_vl", "json")
    for manifest in (tmp_path / "ours").rglob("manifest.json"):
        content = json.loads(manifest.read_text())
        content["made_by"] = {"source": "hub:owner/name?token=abcdefghij"}
        manifest.write_text(json.dumps(content))
    export(Source.below(tmp_path / "ours"), tmp_path / "again", Manner("json", "mit"))
    told = path.parent.with_name("again").joinpath("croissant.json").read_text()
    assert "hub:owner/name" in told
    assert "abcdefghij" not in told
