"""Events reach the run whole and in order, whoever tells them and whoever listens."""

import json
import multiprocessing
from pathlib import Path

import pytest

from spavl.events import EVENTS, EventReader, as_text, tell


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPAVL_RUN_FOLDER", str(tmp_path))
    monkeypatch.setenv("SPAVL_RUN_ID", "trial")
    return tmp_path


def tell_many(stage: str) -> None:
    for index in range(200):
        tell(stage, "note", text="x" * 3000, index=index)


def test_steps_side_by_side_do_not_mix_their_lines(run: Path) -> None:
    context = multiprocessing.get_context("spawn")
    steps = [context.Process(target=tell_many, args=(name,)) for name in ("one", "two")]
    for step in steps:
        step.start()
    for step in steps:
        step.join(60)
    events = list(EventReader(run).new())
    for stage in ("one", "two"):
        assert [e["index"] for e in events if e["stage"] == stage] == list(range(200))


def test_a_line_still_being_written_waits_for_the_next_look(run: Path) -> None:
    tell("dpo", "started", work="w")
    reader = EventReader(run)
    with (run / EVENTS).open("a") as stream:
        stream.write('{"stage": "dpo", "eve')
        stream.flush()
        assert [event["event"] for event in reader.new()] == ["started"]
        stream.write('nt": "note"}\n')
    assert [event["event"] for event in reader.new()] == ["note"]
    assert list(reader.new()) == []


def test_a_resumed_run_shows_only_what_is_new(run: Path) -> None:
    tell("dpo", "started", work="w")
    reader = EventReader(run, skip=True)
    tell("dpo", "note", text="again")
    assert [event["event"] for event in reader.new()] == ["note"]


def test_a_pod_prints_json_and_a_terminal_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell("dpo", "progress", done=3, total=9, unit="steps", metrics={"loss": 0.5})
    assert capsys.readouterr().out == "[dpo] 3/9 steps loss 0.5\n"
    monkeypatch.setenv("SPAVL_LOG", "json")
    tell("dpo", "note", text="plain batches")
    told = json.loads(capsys.readouterr().out)
    assert (told["run"], told["stage"], told["text"]) == ("trial", "dpo", "plain batches")
    assert as_text(told) == "[dpo] plain batches"
