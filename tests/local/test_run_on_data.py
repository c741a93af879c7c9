"""A run's data set goes out in the published layout, comes in again, and trains as it did."""

import os
import signal
from pathlib import Path
from typing import Any

from spavl.published.sources import addresses_of
from spavl.records import Preference
from spavl.shards import read_records
from tests.local.running import TINY, Ended, spavl, spavl_run, start_spavl_run, when

TRAINERS = ("reward_modeling", "dpo", "ppo")
MADE_HERE = ("questions", "pairing", "judging", "splitting", "collection")


def test_a_data_set_that_went_out_and_in_trains_another_run(
    with_photographs: Ended, tmp_path: Path
) -> None:
    """The second run is interrupted while it trains, and gone on with."""
    out = with_photographs.folder.parent  # the base is trained there already
    for arguments in (
        ["export", str(with_photographs.folder), str(tmp_path / "published")],
        ["import", str(tmp_path / "published"), str(tmp_path / "imported")],
    ):
        done = spavl(*arguments, timeout=120)
        assert done.returncode == 0, done.stdout
    interrupt_while_training(out, f"--data={tmp_path / 'imported'}")
    ended = spavl_run(out, "given", "--resume", settings={})
    assert ended.code == 0, ended.output

    first, second = (trained_on(folder) for folder in (with_photographs.folder, ended.folder))
    assert first == second
    assert len(first) == ended.summary["data"]["train"]["rows"]
    stages = {path.stem for path in (ended.folder / "stages").glob("*.json")}
    assert {"import", *TRAINERS} <= stages
    assert not stages & set(MADE_HERE)
    told = ended.summary["imported"]
    assert told["source"] == str(tmp_path / "imported")
    assert told["n"] == sum(ended.summary["data"][name]["rows"] for name in splits())
    assert set(ended.summary["models"]) == {"base", "dpo", "ppo"}
    assert told["digest"][:12] in (ended.folder / "report.html").read_text()
    # What is named is what lies there: the run's own address leads to the same data set.
    assert addresses_of(str(ended.folder)) == addresses_of(told["source"])


def interrupt_while_training(out: Path, *arguments: str) -> None:
    """Start the run `given` and end it by Ctrl-C once a trainer is at work."""
    process = start_spavl_run(out, "given", *arguments, settings=TINY)
    when(out / "given", process, *TRAINERS)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 130, output


def splits() -> tuple[str, ...]:
    return ("train", "validation", "test")


def trained_on(run: Path) -> list[tuple[Any, ...]]:
    """What a run's trainers read: picture, question and answers."""
    rows = read_records(addresses_of(str(run)).train, Preference)
    return sorted((row.image_id, row.question, row.chosen, row.rejected) for row in rows)
