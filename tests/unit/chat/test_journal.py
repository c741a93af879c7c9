"""The journal outlives kills: whole lines count, torn ones are asked for again."""

import json
import subprocess
import sys

import pytest

from spavl.chat import ChatReply, ChatRequest, Journal, JournaledChat, Message, Sampling

GREEDY = Sampling(max_new_tokens=4, temperature=0.0)


def reply(name, text="ä\nb"):
    return ChatReply(name, text, "stop", 3, 2)


class CountingChat:
    """Answers with the record's id; fails after `lives` answers."""

    model_id = "counting"

    def __init__(self, lives=10**6):
        self.lives = lives
        self.asked = []

    def reply(self, requests, sampling, done=()):
        for request in requests:
            if request.record_id in done:
                continue
            if not self.lives:
                raise ConnectionError("killed")
            self.lives -= 1
            self.asked.append(request.record_id)
            yield reply(request.record_id)


def requests(count):
    return [ChatRequest(f"r{i}", (Message("user", "q"),)) for i in range(count)]


def test_replies_come_back_as_they_were_kept(tmp_path):
    with Journal(tmp_path / "j") as journal:
        journal.add(reply("a"))
        journal.add(reply("b", "second"))
        assert journal.get("a") == reply("a")
    with Journal(tmp_path / "j") as journal:
        assert len(journal) == 2
        assert journal.get("b") == reply("b", "second")


def test_a_torn_last_line_is_dropped_and_the_next_reply_is_still_readable(tmp_path):
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.add(reply("a"))
        journal.add(reply("b"))
    for cut in (1, 5, 40):
        whole = path.read_bytes()
        path.write_bytes(whole[:-cut])
        with Journal(path) as journal:
            assert "a" in journal
            assert ("b" in journal) == (cut == 1)
            journal.add(reply("c"))
        with Journal(path) as journal:
            assert journal.get("c") == reply("c")
            assert journal.get("a") == reply("a")
        path.write_bytes(whole)


def test_zeros_and_nonsense_after_a_power_cut_are_skipped(tmp_path):
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.add(reply("a"))
    with path.open("ab") as stream:
        stream.write(b"\0" * 100 + b'\n{"record_id": 3}\n[1]\n\xff\n')
    with Journal(path) as journal:
        assert len(journal) == 1
        assert "a" in journal


def test_a_killed_call_goes_on_where_it_was(tmp_path):
    first, second = CountingChat(lives=3), CountingChat()
    with Journal(tmp_path / "j") as journal, pytest.raises(ConnectionError):
        list(JournaledChat(first, journal).reply(requests(5), GREEDY))
    with Journal(tmp_path / "j") as journal:
        replies = list(JournaledChat(second, journal).reply(requests(5), GREEDY))
    assert first.asked == ["r0", "r1", "r2"]
    assert second.asked == ["r3", "r4"]
    assert sorted(r.record_id for r in replies) == [f"r{i}" for i in range(5)]


def test_a_reply_is_with_the_kernel_before_the_next_one_is_asked_for(tmp_path):
    """kill -9 right after the third reply loses none of the three."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from spavl.chat import ChatReply, Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for name in 'abc':\n"
        "    journal.add(ChatReply(name, 't', 'stop', 1, 1))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "j"
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert ended.returncode == -9
    assert [json.loads(line)["record_id"] for line in path.read_text().splitlines()] == [*"abc"]


def test_turned_down_requests_are_not_kept(tmp_path):
    class Refusing(CountingChat):
        def reply(self, requests, sampling, done=()):
            yield ChatReply("r0", "", "error", 0, 0, "status 400")

    with Journal(tmp_path / "j") as journal:
        list(JournaledChat(Refusing(), journal).reply(requests(1), GREEDY))
        assert "r0" not in journal
