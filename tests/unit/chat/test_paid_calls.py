"""What was paid for is never paid for again: not by the next stage, not after kill -9."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from spavl.chat import ChatReply, ChatRequest, Journal, Message, Sampling, open_chat
from spavl.chat.paid_calls import PaidCalls, call_key
from spavl.chat.settings import OpenAISettings
from tests.unit.chat.conftest import completion, last_text

ROOT = Path(__file__).resolve().parents[3]
WARM = Sampling(max_new_tokens=8, temperature=0.7, seed=7)
REQUEST = ChatRequest("r", (Message("system", "s"), Message("user", "q")), b"picture")
REPLY = ChatReply("r", "ä\nb", "stop", 3, 2)


def ask(url, folder, names):
    settings = OpenAISettings(backend="openai", base_url=url, model="m")
    requests = [ChatRequest(name, (Message("user", name),), b"picture") for name in names]
    with Journal(folder / "journal") as journal, open_chat(settings, journal) as chat:
        return {reply.record_id: reply.text for reply in chat.reply(requests, WARM)}


def test_one_more_row_costs_one_more_call(endpoint, tmp_path, monkeypatch):
    """The stage's own work begins anew (another folder); the paid calls are still there."""
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path))
    first = ask(endpoint.url, tmp_path / "stage" / "before", "abc")
    second = ask(endpoint.url, tmp_path / "stage" / "after", "abcd")
    assert [last_text(body) for body in endpoint.bodies[3:]] == ["d"]
    assert second == {**first, "d": "echo d"}


def test_anything_else_that_is_asked_is_another_call():
    asked = {
        call_key(request, sampling)
        for request, sampling in [
            (REQUEST, WARM),
            (replace(REQUEST, record_id="other"), WARM),
            (replace(REQUEST, image=b"other"), WARM),
            (replace(REQUEST, image=None), WARM),
            (replace(REQUEST, messages=REQUEST.messages[1:]), WARM),
            (replace(REQUEST, messages=(Message("user", "s"), Message("user", "q"))), WARM),
            (REQUEST, replace(WARM, seed=8)),
            (REQUEST, replace(WARM, temperature=0.0)),
        ]
    }
    assert len(asked) == 8


def test_writers_side_by_side_have_files_of_their_own_and_the_next_reads_all(tmp_path):
    other = replace(REQUEST, record_id="other")
    with PaidCalls(tmp_path) as one, PaidCalls(tmp_path) as two:
        one.add(REQUEST, WARM, REPLY)
        two.add(other, WARM, replace(REPLY, record_id="other"))
        assert one.get(REQUEST, WARM) == REPLY
    torn = next(tmp_path.glob("*.jsonl"))
    (tmp_path / "torn.jsonl").write_bytes(torn.read_bytes()[:-9])
    with PaidCalls(tmp_path) as third:
        assert third.get(REQUEST, WARM) == REPLY
        assert third.get(other, WARM) == replace(REPLY, record_id="other")
    assert len(list(tmp_path.glob("*.jsonl"))) == 3  # who only reads leaves no file


CLIENT = """
import sys
from pathlib import Path
from spavl.chat import ChatRequest, Journal, Message, Sampling, open_chat
from spavl.chat.settings import OpenAISettings

url, folder, concurrency = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
settings = OpenAISettings(
    backend="openai", base_url=url, model="m", concurrency=concurrency, backoff_seconds=0.01
)
requests = [ChatRequest(f"r{i}", (Message("user", f"q{i}"),)) for i in range(int(sys.argv[4]))]
with Journal(folder / "journal") as journal, open_chat(settings, journal) as chat:
    for reply in chat.reply(requests, Sampling(8, 0.7)):
        assert reply.text == f"echo q{reply.record_id[1:]}"
        print(reply.record_id, flush=True)
"""
ROWS, AT_ONCE = 200, 4


def test_kill_9_at_any_moment_pays_for_no_finished_call_again(endpoint, tmp_path):
    """Only what was under way when the process died may be asked for again."""
    asked: Counter[str] = Counter()
    served: Counter[str] = Counter()

    async def handle(request):
        text = f"echo {last_text(await request.json())}"
        asked[text] += 1
        await asyncio.sleep(0.02)
        if asked.total() % 5 == 0:
            return web.Response(status=500)
        served[text] += 1
        return web.json_response(completion(text))

    endpoint.handle_instead = handle
    environment = {**os.environ, "SPAVL_WORK_ROOT": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CLIENT, endpoint.url, str(tmp_path), str(AT_ONCE), str(ROWS)]
    at_kills = []
    for enough in (20, 71, 150):
        client = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        while len(kept(tmp_path)) < enough and client.poll() is None:
            time.sleep(0.002)
        client.kill()
        client.wait()
        at_kills.append((kept(tmp_path), asked.copy()))
    last = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert sorted(last.stdout.split()) == sorted(f"r{i}" for i in range(ROWS))
    for finished, asked_before in at_kills:
        assert {text for text in finished if asked[text] > asked_before[text]} == set()
    assert ROWS <= served.total() <= ROWS + len(at_kills) * AT_ONCE


def kept(work_root: Path) -> set[str]:
    """Answers in the journals of paid calls, torn lines left out."""
    lines = [
        line
        for path in work_root.glob("paid/*/*.jsonl")
        for line in path.read_text().splitlines(keepends=True)
    ]
    return {json.loads(line)["text"] for line in lines if line.endswith("\n")}
