"""Pairing and splitting, cut at any shard and begun again, leave what they leave undisturbed."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.labeling.pairing import moderate_and_pair
from components.labeling.splitting import SPLITS, split_by_picture
from spavl import shards
from spavl.records import Image, Maker, Preference, Question, Response
from spavl.shards import DatasetWriter, read_manifest
from spavl.work import Reference

RESPONDERS = {"bold": "Sure. Here is how, step by step: {}.", "shy": "I can't help with {}."}
ROWS = 3
"""Rows of a shard here."""


class Cut(Exception):
    """The power goes."""


def make_world(root: Path, pictures: int) -> None:
    """Pictures, a question about each, and two answers to it; preferences, three a picture."""
    made = {
        name: DatasetWriter(root / name, record)
        for name, record in {
            "images": Image, "questions": Question, "answers": Response, "all": Preference,
        }.items()
    }  # fmt: skip
    for writer in made.values():
        writer.__enter__()
    for number in range(pictures):
        ids = (f"q{number}", f"i{number}")
        facts = ("harmful", None, None, "theft", "theft")
        made["images"].add(Image(ids[1], b"png", "image/png", 1, 1, "test", *facts))
        made["questions"].add(Question(*ids, "easy_question", "How?", "", Maker("test")))
        for name, wording in RESPONDERS.items():
            text = wording.format(f"theft {number}")
            answer = (f"{name}{number}", *ids, name, text, "stop", [], 9, 9, Maker(name))
            made["answers"].add(Response(*answer))
        for row in range(3):
            told = ("How?", "easy_question", "harmful", "theft", "theft", "no", "yes")
            made["all"].add(
                Preference(
                    f"p{number}-{row}", ids[1], ids[0], *told, "shy", "bold", "shy", "bold",
                    True, False, "so", "so", Maker("test"),
                )
            )  # fmt: skip
    for writer in made.values():
        writer.__exit__(None, None, None)


def pair(root: Path) -> None:
    images = Reference(str(root / "images"), read_manifest(root / "images").digest)
    outputs = (str(root / "out" / name) for name in ("verdicts", "pairs"))
    moderate_and_pair({}, str(root / "questions"), [str(root / "answers")], images, *outputs)


def split(root: Path) -> None:
    shares = {"validation": 0.2, "test": 0.0, "test_per_class": 1}
    outputs = (str(root / "out" / name) for name in SPLITS)
    split_by_picture({"splitting": shares}, str(root / "all"), *outputs)


STAGES = {"pairing": pair, "splitting": split}


def outcome(stage: str, root: Path, work: str, cut: int | None = None) -> dict[str, bytes]:
    """All files that a stage leaves, by name; where it is cut, a second try leaves them."""
    written = iter(range(1_000))
    write = shards._write_shard

    def write_or_fail(*arguments):
        if next(written) == cut:
            raise Cut
        return write(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPAVL_WORK_ROOT", str(root / work))
        patch.setattr(shards, "ROWS_PER_SHARD", ROWS)
        patch.setattr(shards, "_write_shard", write_or_fail)
        if cut is not None:
            with pytest.raises(Cut):
                STAGES[stage](root)
        STAGES[stage](root)
    (root / "out").rename(root / f"out of {work}")
    files = (path for path in (root / f"out of {work}").rglob("*") if path.is_file())
    return {str(path.relative_to(root / f"out of {work}")): path.read_bytes() for path in files}


@pytest.mark.parametrize("stage", STAGES)
@given(st.data())
@settings(deadline=None, max_examples=3)
def test_a_stage_cut_at_any_shard_ends_byte_for_byte_the_same(
    stage: str, data: st.DataObject
) -> None:
    with TemporaryDirectory() as scratch:
        make_world(Path(scratch), pictures=data.draw(st.integers(12, 24)))
        whole = outcome(stage, Path(scratch), "undisturbed")
        count = sum(name.endswith(".parquet") for name in whole)
        assert count > 4
        cut = data.draw(st.integers(0, count - 1))
        assert outcome(stage, Path(scratch), "cut", cut) == whole
