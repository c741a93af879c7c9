"""What is fuzzed: six readers, what they may raise, and inputs to begin with."""

import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow
from pyarrow import parquet

from components.collection import url_tables
from spavl import events, shards, storable, work
from spavl.chat import openai_wire, reasoning, saying_no
from spavl.errors import CorruptShardError, InputError
from spavl.judges import chat_moderation, chat_pairwise, replies
from spavl.judges.replies import NoVerdictError
from spavl.published import cells, files, pages, pictures
from spavl.tracking import stages

PLACE = Path(tempfile.mkdtemp(prefix="fuzz-"))


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        read: Reads an input to its end.
        allowed: Errors that mean bad input.
        seeds: Inputs to begin with.
        modules: What the lines are counted of.
    """

    read: Callable[[bytes], object]
    allowed: tuple[type[BaseException], ...]
    seeds: tuple[bytes, ...]
    modules: tuple[object, ...]


def targets() -> dict[str, Target]:
    """All six, by name."""
    return {
        "wire": Target(
            _wire, (ValueError, openai_wire.OtherModelError), _completions(),
            (openai_wire, reasoning, saying_no, storable),
        ),
        "tables": Target(_tables, (InputError,), _tables_seeds(), (url_tables, storable)),
        "import": Target(
            _import, (InputError,), _import_seeds(), (cells, files, pages, pictures, storable),
        ),
        "verdicts": Target(
            _verdicts, (NoVerdictError,), _verdict_seeds(), (replies, chat_pairwise),
        ),
        "commit": Target(_commit, (CorruptShardError, InputError), _commit_seeds(), (storable,)),
        "events": Target(_events, (), _event_seeds(), (events, stages, storable)),
    }  # fmt: skip


def _wire(content: bytes) -> object:
    return openai_wire.read_completion("a", content, "m")


def _completions() -> tuple[bytes, ...]:
    message = {"role": "assistant", "content": "A <think>b</think> c", "refusal": None}
    parts = [{"type": "text", "text": "x"}, {"type": "thinking", "thinking": []}, "y"]
    usage = {"prompt_tokens": 3, "completion_tokens": 1e3}
    choices = [
        [{"message": message, "finish_reason": "stop"}],
        [{"message": {"content": parts, "reasoning_content": "r"}, "finish_reason": "MAX_TOKENS"}],
        [{"message": None, "finish_reason": "content_filter"}],
        [{"message": {"content": None, "refusal": "no"}, "error": {"code": 502}}],
        [],
    ]
    bodies: list[object] = [{"model": "m", "choices": each, "usage": usage} for each in choices]
    bodies += [
        {"choices": None, "promptFeedback": {"blockReason": "SAFETY"}},
        {"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicy"}}},
        {"error": "flagged by moderation", "choices": []},
        {"model": "other", "choices": choices[0]},
    ]
    return tuple(json.dumps(body).encode() for body in bodies)


def _parquet(rows: list[dict[str, object]]) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), stream)
    return stream.getvalue()


def _tables(content: bytes) -> object:
    names = ("t.csv", "t.jsonl", "t.parquet")
    path = PLACE / names[(content[0] if content else 0) % len(names)]
    path.write_bytes(content[1:])
    return list(url_tables.read_listed(path))


def _tables_seeds() -> tuple[bytes, ...]:
    rows: list[dict[str, object]] = [{"url": "http://h/a.png", "caption": "x"}, {"url": None}]
    lines = b"\n".join(json.dumps(row).encode() for row in rows)
    return (
        b'\x00url,caption\nhttp://h/a.png,"a ""b"""\nhttp://h/b.png,\n',
        b"\x00\xef\xbb\xbfURL;TEXT\nx;y\n",
        b"\x01" + lines,
        b"\x01" + b'{"URL": ["a"], "TEXT": {"a": 1e999}}\n\n{"url": "\\ud800"}',
        b"\x02" + _parquet(rows),
        b"\x02" + _parquet([{"URL": b"\xff", "TEXT": 1.5}]),
    )


def _import(content: bytes) -> object:
    path = PLACE / ("train.json" if not content or content[0] % 2 else "train.parquet")
    path.write_bytes(content[1:])
    return list(files.read_rows(path, "train"))


def _import_seeds() -> tuple[bytes, ...]:
    (PLACE / "a.png").write_bytes(b"\x89PNG")
    texts: dict[str, object] = {"question": "q", "chosen": "c", "rejected": "r"}
    cells = ("a.png", "../x", ["a.png"], {"path": "a.png"}, {"bytes": None}, None, 7)
    rows = [{**texts, "image": cell, "image_name": 3} for cell in cells]
    struct = {"image": {"bytes": b"\x89PNG", "path": "a.png"}}
    return (
        b"\x01" + json.dumps(rows).encode(),
        b"\x01\xef\xbb\xbf" + json.dumps(rows[:1]).encode(),
        b"\x01" + "\n".join(map(json.dumps, rows)).encode(),
        b"\x00" + _parquet([{**texts, **struct}]),
        b"\x00" + _parquet([{**texts, "images": [b"\x89PNG"]}]),
        b"\x00" + _parquet([{**texts, "image": b"x", "question": b"\xff", "image_name": 2**40}]),
    )


def _verdicts(content: bytes) -> object:
    text = storable.text_of(content[1:])
    ways: list[Callable[[], object]] = [
        lambda: replies.read_word(text, ("first", "second", "tie")),
        lambda: replies.read_scores(text, {"safety": range(1, 6), "help": range(10)}),
        lambda: chat_pairwise.read_comparison(text),
        lambda: replies.reason_of(text),
        *(
            lambda form=form: replies.read_moderation(text, form)
            for form in chat_moderation.formats().values()
        ),
    ]
    return ways[(content[0] if content else 0) % len(ways)]()


def _verdict_seeds() -> tuple[bytes, ...]:
    said = (
        "reason\nfirst", "Verdict: **second**", "[[tie]]", "safe", "unsafe\nS1,S9", "> no\nsecond",
        "```\nfirst\n```", "safety=3 help=9", '{"better": "first"}', "“first”", "第一\nfirst.",
    )  # fmt: skip
    return tuple(bytes([way]) + each.encode() for each in said for way in range(6))


def _commit(content: bytes) -> object:
    name = shards.MANIFEST if content[:1] == b"\x01" else work.COMMIT
    (PLACE / name).write_bytes(content[1:])
    return shards.read_manifest(PLACE) if name == shards.MANIFEST else work._read_commit(PLACE)


def _commit_seeds() -> tuple[bytes, ...]:
    manifest = {
        "schema": "Image", "version": 1, "made_by": {}, "inputs": {},
        "shards": [{"name": "part-00000.parquet", "rows": 1, "sha256": "ab"}],
    }  # fmt: skip
    commit = {"stage": "x", "result": {"a": 1}, "seconds": 1.0, "imports": 0.1, "settings": {}}
    return (b"\x00" + json.dumps(commit).encode(), b"\x01" + json.dumps(manifest).encode())


def _events(content: bytes) -> object:
    (PLACE / events.EVENTS).write_bytes(content)
    (PLACE / "curves.jsonl").write_bytes(content)
    told = [events.as_text(event) for event in events.EventReader(PLACE).new()]
    return told, list(stages.rows_after(PLACE / "curves.jsonl", 0))


def _event_seeds() -> tuple[bytes, ...]:
    base: dict[str, object] = {"time": 1.0, "run": "r", "stage": "s"}
    told: list[dict[str, object]] = [
        {"event": "started", "work": "w", "process": 1},
        {"event": "progress", "done": 1, "total": 2, "unit": "rows", "metrics": {"loss": 0.5}},
        {"event": "done", "seconds": 1.0, "imports": 0.0, "work": "w"},
        {"event": "kept", "work": "w"},
        {"event": "failed", "message": "m", "exit_code": 2},
        {"event": "note", "text": "t"},
        {"step": 1, "time": 2.0, "loss": 0.1},
    ]
    lines = [json.dumps({**base, **each}).encode() for each in told]
    return (b"\n".join(lines) + b"\n", *(line + b"\n" for line in lines))
