"""A data set is taken in where it lies now, and what fails on the way is told to the run."""

import errno
import json
import shutil
from pathlib import Path

import pytest

from components.importing import has_items, import_data, import_splits
from spavl.errors import AwayError, InputError
from spavl.records import EvalItem
from spavl.shards import DatasetWriter, read_manifest
from tests.unit.ablation.test_points import data_sets


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path / "run"))
    return tmp_path / "run"


def made_run(folder: Path, works: Path) -> Path:
    """A run's folder whose data sets lie among `works`."""
    (folder / "stages").mkdir(parents=True, exist_ok=True)
    for stage in ("collection", "splitting"):
        (folder / "stages" / f"{stage}.json").write_text(json.dumps({"work": str(works)}))
    return folder


def test_a_run_whose_works_moved_is_taken_from_where_they_lie(tmp_path: Path, run: Path) -> None:
    """The run's folder is the same, and the rows are: the copy is compared all the same."""
    old, new = data_sets(tmp_path / "old"), tmp_path / "new"
    given = made_run(tmp_path / "given", old)
    assert import_data(str(given)).train == f"{old}/train"
    shutil.move(old, new)
    made_run(given, new)
    assert import_data(str(given)).train == f"{new}/train"
    told = json.loads((run / "stages/import.json").read_text())
    assert told["result"]["addresses"]["images"] == f"{new}/images"

    torn = shutil.copytree(new, tmp_path / "torn")
    (torn / "test" / "part-00000.parquet").write_bytes(b"")
    made_run(given, torn)
    with pytest.raises(InputError, match=str(torn)):
        import_data(str(given))


def test_an_import_without_addresses_is_bad_input(tmp_path: Path) -> None:
    stages = tmp_path / "older" / "stages"
    stages.mkdir(parents=True)
    (stages / "import.json").write_text(json.dumps({"result": {"rows": {"train": 3}}}))
    with pytest.raises(InputError, match="does not say where its data sets lie"):
        import_data(str(tmp_path / "older"))


@pytest.mark.parametrize(
    ("step", "error", "code"),
    [
        ("local_copy", AwayError("S3 does not answer"), 75),
        ("publish_path", OSError(errno.ENOSPC, "No space left on device"), 2),
    ],
)
def test_splits_that_cannot_be_handed_on_are_told(
    step: str, error: Exception, code: int, tmp_path: Path, run: Path, monkeypatch
) -> None:
    """It fails after the import's own work, when the shards have been compared."""
    data = data_sets(tmp_path / "data")
    import_data(str(data))

    def fail(*_: object) -> None:
        assert (run / "stages/import.json").is_file()
        raise error

    from components.importing import importing

    kept = importing.local_copy
    handing = (
        fail
        if step == "publish_path"
        else (lambda place: kept(place) if place.endswith(".json") else fail())
    )
    monkeypatch.setattr(importing, step, handing)
    with pytest.raises(type(error)):
        import_splits(str(data), {"train": str(tmp_path / "out")})
    told = json.loads((run / "error.json").read_text())
    assert (told["stage"], told["exit_code"], told["expected"]) == ("import", code, True)


def test_test_items_are_handed_on_where_the_data_set_has_some(tmp_path: Path) -> None:
    data = data_sets(tmp_path / "data")
    without = import_splits(str(data), {"test": str(tmp_path / "out")})
    assert (without.items_uri, without.items_digest, has_items(str(data))) == ("", "", False)
    with DatasetWriter(data / "test/items", EvalItem) as writer:
        writer.add(
            EvalItem("a", "harm_eval", "i", "How?", None, "harmful", None, None, None, "collected")
        )
    found = import_splits(str(data), {"test": str(tmp_path / "again")})
    assert found.items_uri == f"{data}/test/items"
    assert found.items_digest == read_manifest(data / "test/items").digest
    assert has_items(str(data))
