"""Only what a change touches runs again, and two runs at once do not harm each other."""

import json
import shutil
import sys
from pathlib import Path

import PIL.Image

from spavl.events import EventReader
from tests.local.running import TINY, Ended, comparable, spavl_run, start_spavl_run

ROOT = Path(__file__).parents[2]


def worked(run: Ended) -> set[str]:
    """The stages that did their work anew in this run."""
    return {event["stage"] for event in EventReader(run.folder).new() if event["event"] == "done"}


def test_a_comment_in_the_report_reruns_the_report_alone(
    with_photographs: Ended, photographs: Path, tmp_path: Path
) -> None:
    for package in ("spavl", "components", "pipelines"):
        shutil.copytree(ROOT / package, tmp_path / package)
    with (tmp_path / "components/reporting/report.py").open("a") as source:
        source.write("# a remark\n")
    launcher = [sys.executable, "-c", "from pipelines.cli import main; main()"]
    ended = spavl_run(
        with_photographs.folder.parent,
        "remark",
        f"--images={photographs}",
        settings=TINY,
        launcher=launcher,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert ended.code == 0, ended.output
    assert worked(ended) == set()
    assert comparable(ended.summary) == comparable(with_photographs.summary)


def test_another_beta_reruns_dpo_and_what_follows_and_nothing_else(
    with_photographs: Ended, photographs: Path
) -> None:
    ended = spavl_run(
        with_photographs.folder.parent,
        "beta",
        f"--images={photographs}",
        settings={**TINY, "dpo.beta": 0.3},
    )
    assert ended.code == 0, ended.output
    # What comes out the same, e.g. equal figures after one short epoch, reruns nothing after it.
    of_the_answers = {"answers-dpo", "readings-dpo", "attacks-dpo"}
    assert {"dpo", "answers-dpo"} <= worked(ended) <= {"dpo", "scoring", "gate"} | of_the_answers


def test_two_runs_at_once_share_work_and_say_what_an_earlier_one_said(
    with_photographs: Ended, photographs: Path, tmp_path: Path
) -> None:
    names = ("one", "two")
    images = f"--images={photographs}"
    processes = [start_spavl_run(tmp_path, name, images, settings=TINY) for name in names]
    ended = []
    for name, process in zip(names, processes, strict=True):
        output, _ = process.communicate(timeout=1200)
        ended.append(Ended(process.returncode, output, tmp_path / name))
    assert [run.code for run in ended] == [0, 0], ended
    assert worked(ended[0]).isdisjoint(worked(ended[1]))
    # A base that an earlier run had to train is kept for all later ones, beside the work.
    made_before = worked(with_photographs) - {"base_model_training"}
    assert worked(ended[0]) | worked(ended[1]) >= made_before
    for run in ended:
        assert comparable(run.summary) == comparable(with_photographs.summary)


def test_one_more_picture_reruns_what_it_touches(
    with_photographs: Ended, photographs: Path, tmp_path: Path
) -> None:
    more = tmp_path / "photographs"
    shutil.copytree(photographs, more)
    PIL.Image.effect_noise((320, 200), 60).convert("RGB").save(more / "one more.jpg")
    ended = spavl_run(with_photographs.folder.parent, "more", f"--images={more}", settings=TINY)
    assert ended.code == 0, ended.output
    assert "base_model" not in worked(ended)
    assert {"collection", "questions"} <= worked(ended)
    assert ended.summary["data"]["images"]["unknown"] == 7


def test_a_corrupt_shard_is_named_and_made_anew(with_photographs: Ended, photographs: Path) -> None:
    """Last of this file: it harms the work that the others reuse, and sees it mended."""
    judging = json.loads((with_photographs.folder / "stages/judging.json").read_text())
    shard = Path(judging["work"]) / "preferences/part-00000.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    run = with_photographs.folder.parent, "corrupt"
    harmed = spavl_run(
        *run, f"--images={photographs}", settings={**TINY, "labeling.splitting.validation": 0.2}
    )
    [line] = [line for line in harmed.output.splitlines() if line.startswith("spavl:")]
    assert harmed.code == 2
    assert "part-00000.parquet" in line
    assert "spavl run --resume" in line
    mended = spavl_run(*run, "--resume", settings={})
    assert mended.code == 0, mended.output
    assert "judging" in worked(mended)
