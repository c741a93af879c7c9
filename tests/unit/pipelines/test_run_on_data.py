"""`spavl run --data`: what is wrong with a data set is said before anything starts."""

import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import cli
from pipelines.commands.run import _show
from pipelines.local_run import RunRequest
from pipelines.preflight import check_request
from spavl.errors import InputError
from spavl.records import Preference
from spavl.shards import DatasetWriter
from tests.unit.ablation.test_points import data_sets


def nothing_there(data: Path) -> None:
    shutil.rmtree(data)


def emptied(data: Path) -> None:
    shutil.rmtree(data)
    data.mkdir()


def in_the_published_layout(data: Path) -> None:
    emptied(data)
    (data / "images").mkdir()
    (data / "train.json").write_text("[]")


def without_test_split(data: Path) -> None:
    shutil.rmtree(data / "test")


def torn(data: Path) -> None:
    part = data / "validation" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1])


def without_a_shard(data: Path) -> None:
    (data / "images" / "part-00000.parquet").unlink()


def with_a_torn_manifest(data: Path) -> None:
    (data / "train" / "manifest.json").write_text("{")


def without_rows(data: Path) -> None:
    shutil.rmtree(data / "train")
    with DatasetWriter(data / "train", Preference):
        pass


def of_other_records(data: Path) -> None:
    shutil.rmtree(data / "test")
    shutil.copytree(data / "images", data / "test")


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (nothing_there, "no such folder"),
        (emptied, "no data sets in this folder"),
        (in_the_published_layout, "what spavl import makes of a published one"),
        (without_test_split, "no finished data set"),
        (torn, "shard does not match its checksum"),
        (without_a_shard, "missing shard"),
        (with_a_torn_manifest, "unreadable manifest"),
        (without_rows, "a data set without rows"),
        (of_other_records, "a data set of Image"),
    ],
)
def test_a_bad_data_set_is_one_line_and_starts_nothing(
    damage: Callable[[Path], None],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(data_sets(tmp_path / "data"))
    told = refused(["--data=data"], tmp_path, monkeypatch, capsys)
    assert line in told
    assert str(tmp_path / "data") in told
    assert "--resume" not in told  # no resumed run makes it anew


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--data=data", "--images=photos"], "pictures beside a finished data set"),
        (["--data=s3:bucket"], "neither a folder nor on S3"),
        (["--resume", "--data=data"], "a resumed run keeps what it was started with"),
    ],
)
def test_a_wrong_call_is_one_line_and_starts_nothing(
    arguments: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data_sets(tmp_path / "data")
    assert line in refused(arguments, tmp_path, monkeypatch, capsys)


def test_what_only_making_a_data_set_needs_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPAVL_WORK_ROOT", raising=False)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    judge = (
        "{backend: openai, base_url: 'http://127.0.0.1:1/v1', model: m, api_key_env: NO_SUCH_KEY}"
    )
    wanting = RunRequest(
        "pocket", (f"questions.captioner={judge}", "collection.decisions=gone.csv")
    )
    with pytest.raises(InputError, match="NO_SUCH_KEY"):
        check_request(wanting, tmp_path / "runs")
    given = replace(wanting, data=str(data_sets(tmp_path / "data")))
    check_request(given, tmp_path / "runs")


@pytest.mark.parametrize("name", ["[v2] x", "it's", "plain"])
def test_the_next_run_that_is_named_can_be_pasted(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("components.reporting.summary.summary_table", lambda summary: "")
    _show({"imported": {"source": f"/data/{name}"}}, tmp_path)
    [line] = [each for each in capsys.readouterr().out.splitlines() if each.startswith("next")]
    command = line.removeprefix("next").partition("   finished work")[0]
    assert shlex.split(command)[:4] == ["spavl", "run", "--data", f"/data/{name}"]


def refused(
    arguments: list[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """The one line that a run ends with that does not begin."""
    monkeypatch.delenv("SPAVL_WORK_ROOT", raising=False)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["spavl", "run", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert not [path for path in (folder / "runs").glob("*") if path.is_dir()]
    (told,) = capsys.readouterr().err.splitlines()
    return told
