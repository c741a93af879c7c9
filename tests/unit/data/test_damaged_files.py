"""Small files are written whole; a damaged one is made anew or named in one line."""

import json
import os
import threading

import pytest

from spavl.alignment.checkpoints import _cut_curves
from spavl.champion import line_pointer, reigning_champion
from spavl.errors import CorruptShardError, InputError
from spavl.events import EVENTS, EventReader
from spavl.files import write_whole
from spavl.shards import write_json
from spavl.work import COMMIT, Stage, run_stage

DAMAGES = [
    b"", b"{", b"null", b"[]", b"7", b'{"result": 3}', b"\x00" * 64, b"\xff\xfe\xfa", b"<html>",
    b"[" * 100_000, b'{"stage": "x", "resu',
]  # fmt: skip


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path / "work"))
    return tmp_path / "work"


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: repr(each[:16]))
def test_a_damaged_commit_is_named_and_its_work_done_anew(work, damage):
    stage = Stage("thing", "spavl.seeds", {}, {})
    made = []
    run_stage(stage, lambda _: {"made": len(made)} | (made.append(1) or {}))
    (commit,) = work.glob(f"*/*/{COMMIT}")
    commit.write_bytes(damage)
    with pytest.raises(CorruptShardError, match="damaged commit"):
        run_stage(stage, lambda _: {"made": made.append(1)})
    assert len(made) == 1
    assert run_stage(stage, lambda _: {"made": made.append(1)}) == {"made": None}
    assert len(made) == 2


EVENTS_OF_OTHER_TYPES = [
    b'{"stage": "x", "event": "done"}',
    b'{"stage": "x", "event": "failed", "message": 7}',
    b'{"stage": 3, "event": "note"}',
    b'{"stage": "x", "event": "progress", "done": 1, "total": 2, "unit": "rows", "metrics": []}',
    b'{"stage": "x", "event": "done", "seconds": ' + b"9" * 400 + b"}",
]


@pytest.mark.parametrize(
    "damage", [each for each in DAMAGES if b"result" not in each] + EVENTS_OF_OTHER_TYPES
)
def test_a_damaged_event_costs_itself_alone(tmp_path, damage):
    good = {"time": 1.0, "run": "", "stage": "x", "event": "note", "text": "so"}
    line = json.dumps(good).encode() + b"\n"
    (tmp_path / EVENTS).write_bytes(line + damage + b"\n" + line)
    assert list(EventReader(tmp_path).new()) == [good, good]


@pytest.mark.parametrize("damage", [each for each in DAMAGES if b"result" not in each])
def test_a_damaged_pointer_to_the_champion_is_named(damage):
    pointer = line_pointer("vlm")
    pointer.parent.mkdir(parents=True)
    pointer.write_bytes(damage)
    with pytest.raises(InputError, match="damaged file"):
        reigning_champion("vlm")


@pytest.mark.parametrize("damage", ["{", "null", "7", '{"step": null}', "\x00" * 9, "", '{"a": 1}'])
def test_a_damaged_curve_loses_that_line_alone(tmp_path, damage):
    curves = tmp_path / "curves.jsonl"
    lines = [json.dumps({"step": step}) for step in range(4)]
    curves.write_text("\n".join([lines[0], damage, *lines[1:], '{"step": 9']))
    _cut_curves(curves, 2)
    assert curves.read_text().splitlines() == lines[:3]


def test_a_file_that_many_write_is_always_whole(tmp_path):
    path = tmp_path / "a.json"
    contents = [{"n": n, "text": "x" * 50_000} for n in range(8)]
    write_json(path, contents[0])
    seen, ended = [], threading.Event()

    def write(content):
        for _ in range(20):
            write_json(path, content)

    def read():
        while not ended.is_set():
            seen.append(json.loads(path.read_text())["n"])

    writers = [threading.Thread(target=write, args=(each,)) for each in contents]
    reader = threading.Thread(target=read)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    reader.join()
    assert seen
    assert os.listdir(tmp_path) == ["a.json"]


def test_what_cannot_be_written_leaves_the_old_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_whole(path, b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]
