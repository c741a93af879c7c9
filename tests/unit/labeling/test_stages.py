"""Pairing and judging as stages: two responders of known manners answer about four pictures."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.labeling.judging import judge_twice
from components.labeling.pairing import moderate_and_pair
from spavl.errors import InputError
from spavl.records import Image, Maker, Pair, Preference, Question, Response, SetAside, Verdict
from spavl.shards import DatasetWriter, read_manifest, read_records
from spavl.work import Reference

COMPLY = "Sure. This is {}. First get ready, then do it step by step."
REFUSE = "I can't help with this. It shows {}, which can hurt people."
PICTURES = {  # image id: (truth, class3, thing)
    "i-theft": ("harmful", "theft", "theft"),
    "i-malware": ("harmful", "malware", "malware"),
    "i-kite": ("harmless", None, "kite"),
    "i-photo": ("unknown", None, None),
}


@dataclass(frozen=True)
class World:
    """Paths of the data sets that labeling reads."""

    questions: str
    responses: list[str]
    images: Reference


@pytest.fixture(autouse=True)
def _own_work_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    with DatasetWriter(tmp_path / "images", Image) as images:
        for image_id, (truth, class3, thing) in PICTURES.items():
            facts = (truth, None, None, class3, thing)
            images.add(Image(image_id, b"png", "image/png", 1, 1, "test", *facts))
    with DatasetWriter(tmp_path / "questions", Question) as questions:
        for image_id in PICTURES:
            asked = (f"q-{image_id}", image_id, "easy_question", "How do I do this?", "")
            questions.add(Question(*asked, Maker("test")))
    manners = {"bold": COMPLY, "shy": REFUSE}
    folders = [write_answers(tmp_path / name, name, manners[name]) for name in manners]
    digest = read_manifest(tmp_path / "images").digest
    return World(str(tmp_path / "questions"), folders, Reference(str(tmp_path / "images"), digest))


def write_answers(folder: Path, responder: str, wording: str, flags: tuple[str, ...] = ()) -> str:
    with DatasetWriter(folder, Response) as writer:
        for image_id, (_, _, thing) in PICTURES.items():
            text = wording.format(thing or "a dog")
            ids = (f"r-{responder}-{image_id}", f"q-{image_id}", image_id, responder)
            writer.add(Response(*ids, text, "stop", list(flags), 9, 9, Maker(responder)))
    return str(folder)


def run(world: World, out: Path, responses: list[str] | None = None) -> tuple[Path, Path]:
    verdicts, pairs = out / "verdicts", out / "pairs"
    given = responses or world.responses
    moderate_and_pair({}, world.questions, given, world.images, str(verdicts), str(pairs))
    return verdicts, pairs


def test_every_answer_gets_a_verdict_by_the_picture_s_truth(world: World, tmp_path: Path) -> None:
    verdicts, _ = run(world, tmp_path / "out")
    unsafe = {v.response_id for v in read_records(verdicts, Verdict) if not v.safe}
    refused = {v.responder for v in read_records(verdicts, Verdict) if v.refused}
    assert unsafe == {"r-bold-i-theft", "r-bold-i-malware"}
    assert refused == {"shy"}


def test_rates_leave_harmless_pictures_out_and_keep_unknown_ones(
    world: World, tmp_path: Path
) -> None:
    _, pairs = run(world, tmp_path / "out")
    bold, shy = json.loads((pairs / "groups.json").read_text())["responders"]
    assert (bold["responder"], bold["group"], bold["answers"]) == ("bold", 0, 4)
    assert (bold["safety_rate"]["n"], bold["safety_rate"]["value"]) == (3, pytest.approx(1 / 3))
    assert (shy["group"], shy["safety_rate"]["value"], shy["refused"]) == (1, 1.0, 4)


def test_unknown_truth_runs_through_and_stays_marked(world: World, tmp_path: Path) -> None:
    _, pairs = run(world, tmp_path / "out")
    marks = {pair.image_id: (pair.truth, pair.thing) for pair in read_records(pairs, Pair)}
    assert marks["i-photo"] == ("unknown", None)
    assert marks["i-theft"] == ("harmful", "theft")


def test_input_order_does_not_change_the_pairs(world: World, tmp_path: Path) -> None:
    _, one = run(world, tmp_path / "one")
    _, two = run(world, tmp_path / "two", world.responses[::-1])
    assert list(read_records(one, Pair)) == list(read_records(two, Pair))


def test_looping_answers_are_judged_but_never_drawn(world: World, tmp_path: Path) -> None:
    looping = write_answers(tmp_path / "loop", "loop", "so and " * 20, flags=("looping",))
    verdicts, pairs = run(world, tmp_path / "out", [*world.responses, looping])
    aside = list(read_records(pairs / "set_asides", SetAside))
    assert {(row.reason, row.detail) for row in aside} == {("flagged_answer", "looping")}
    assert len(aside) == 4
    drawn = {r for p in read_records(pairs, Pair) for r in (p.first_responder, p.second_responder)}
    assert drawn == {"bold", "shy"}
    assert "loop" in {v.responder for v in read_records(verdicts, Verdict)}


def test_responders_that_cannot_be_told_apart_stop_the_stage(world: World, tmp_path: Path) -> None:
    twin = write_answers(tmp_path / "twin", "twin", COMPLY)
    with pytest.raises(InputError, match=r"no pair could be drawn.*no_two_groups"):
        run(world, tmp_path / "out", [world.responses[0], twin])


def test_judging_keeps_what_the_pictures_tell_and_sets_ties_aside(
    world: World, tmp_path: Path
) -> None:
    _, pairs = run(world, tmp_path / "out")
    preferences = tmp_path / "preferences"
    judge_twice({}, str(pairs), world.images, str(preferences))
    chosen = {row.image_id: row.chosen_responder for row in read_records(preferences, Preference)}
    assert chosen == {"i-theft": "shy", "i-malware": "shy", "i-kite": "bold"}
    aside = [row.reason for row in read_records(preferences / "set_asides", SetAside)]
    assert aside == ["tie"]  # the photograph: by text alone nobody can say
    agreement = json.loads((preferences / "agreement.json").read_text())
    assert agreement["outcomes"] == {"kept": 3, "tie": 1}
    assert agreement["swap_consistency"]["value"] == 1.0
