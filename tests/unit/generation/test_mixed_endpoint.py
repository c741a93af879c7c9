"""An endpoint that says no in every way at once, and a stage that is killed again and again."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web

from spavl.images import ImageStore
from spavl.records import Maker, Question, Response, SetAside, record_id
from spavl.shards import DatasetWriter, read_records
from tests.unit.chat.conftest import Endpoint, completion, endpoint, last_text  # noqa: F401
from tests.unit.chat.test_saying_no import ANSWERED, REFUSED

ROWS, CONCURRENCY, ATTEMPTS, KILLS = 200, 8, 3, 10
NOT_SERVED, BY_ENDPOINT = "not served by the endpoint", "refused by the endpoint"
FINE = (200, {**completion("fine"), "model": "m"})
# What passes by itself: said once to a row, which is then served.
PASSING = {
    "once-500": (500, "down"),
    "once-429": (429, {"error": "slow down"}),
    "once-503-html": (503, "<html>\x00"),
    "once-no-json": (200, "{"),
    "once-deep": (200, "[" * 4000),
    "once-no-object": (200, "3"),
    "once-408": (408, ""),
    "once-other-model": (200, {**completion("x"), "model": "n"}),
}
# What a row never gets past; asked once, or as often as attempts are made.
FAILING = {
    "400-picture": (400, "image too small"),
    "413": (413, "too large"),
    "409": (409, {"error": "failed"}),
    "520": (520, "unknown"),
    "403-key": (403, {"error": "this key may not"}),
    "405": (405, "no"),
    "301": (301, ""),
    "other-model": (200, {**completion("x"), "model": "n"}),
    "400-field": (400, "temperature and top_p cannot both be specified"),
}
HARMFUL = [*REFUSED, *ANSWERED, *PASSING, *FAILING]
SAID = {**REFUSED, **PASSING, **FAILING, **{name: each[0] for name, each in ANSWERED.items()}}
PROGRAM = """
import json, sys
from components.generation.responses import answer
from spavl.work import Reference
settings, questions, images, digest, output = json.loads(sys.argv[1])
none = Reference("/none", "none")
answer(settings, ["dear"], questions, Reference(images, digest), none, output)
"""


def kind_of(row: int) -> str:
    """The first 60% are of all kinds in turn, the worst order for a count of what was served."""
    return HARMFUL[row % len(HARMFUL)] if row < ROWS * 6 // 10 else "fine"


class Mixed:
    """Serves rows by their kind, and kills the process that asks at given requests.

    Attributes:
        served: How often each row got an answer or a refusal.
        paid: How often that was one that endpoints charge for.
        asked: How often each row was asked.
        kill_at: Counts of requests at which the process is killed.
    """

    def __init__(self) -> None:
        self.served: Counter[int] = Counter()
        self.paid: Counter[int] = Counter()
        self.asked: Counter[int] = Counter()
        self.kill_at: set[int] = set()
        self.process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        row = int(last_text(await request.json()).split()[-1])
        self.asked[row] += 1
        if self.asked.total() in self.kill_at and self.process:
            self.process.send_signal(signal.SIGKILL)
        kind = kind_of(row)
        passing = kind in PASSING and self.asked[row] > 1
        status, body = FINE if kind == "fine" or passing else SAID[kind]
        if kind not in FAILING and (kind not in PASSING or passing):
            self.served[row] += 1
            self.paid[row] += status == 200
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(
            status=status,
            body=text.encode("utf-8", "surrogatepass"),
            headers={"Location": "http://elsewhere/"} if status == 301 else {},
            content_type="application/json",
        )


@pytest.fixture
def asked_of(images, folder):
    """The rows as a data set of questions."""
    facts = list(ImageStore(images.uri).facts())
    with DatasetWriter(folder / "questions", Question) as writer:
        for row in range(ROWS):
            image = facts[row % len(facts)].image_id
            writer.add(Question(f"q{row}", image, "easy_question", f"About {row}", "c", Maker("m")))
    return folder / "questions"


def run(mixed: Mixed, url: str, questions: Path, images, folder: Path) -> int:
    """The stage in a process of its own; its exit code."""
    chat = {
        "backend": "openai",
        "base_url": url,
        "model": "m",
        "backoff_seconds": 0.01,
        "max_attempts": ATTEMPTS,
        "concurrency": CONCURRENCY,
        "max_set_aside": 1,
    }
    given = {
        "block_size": 64,
        "responders": [{"id": "dear", "chat": chat}, {"id": "b", "chat": chat}],
    }
    arguments = [given, str(questions), images.uri, images.digest, str(folder / "out")]
    mixed.process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps(arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    stderr = mixed.process.communicate(timeout=120)[1]
    assert mixed.process.returncode in (0, -signal.SIGKILL), stderr
    return mixed.process.returncode


def outcomes(folder: Path) -> dict[str, tuple[str, str]]:
    """What became of each response: its text and finish reason, or its reason to be set aside."""
    rows = [*read_records(folder / "out", Response)]
    aside = [*read_records(folder / "out" / "set_asides", SetAside)]
    names = [row.response_id for row in rows] + [row.record_id for row in aside]
    assert len(names) == len(set(names)) == ROWS
    return {row.response_id: (row.text, row.finish_reason) for row in rows} | {
        row.record_id: ("", row.reason) for row in aside
    }


def right(row: int) -> tuple[str, str]:
    kind = kind_of(row)
    if kind in REFUSED:
        return "", BY_ENDPOINT
    if kind in FAILING:
        return "", NOT_SERVED
    return ANSWERED[kind][1:] if kind in ANSWERED else ("fine", "stop")


def expected() -> dict[str, tuple[str, str]]:
    return {record_id("response", f"q{row}", "dear"): right(row) for row in range(ROWS)}


def test_every_row_comes_out_as_what_it_is_and_is_paid_once(
    images,
    endpoint: Endpoint,  # noqa: F811
    asked_of: Path,
    folder: Path,
) -> None:
    mixed = endpoint.handle_instead = Mixed()
    assert run(mixed, endpoint.url, asked_of, images, folder) == 0
    assert outcomes(folder) == expected()
    assert set(mixed.served.values()) == {1}
    assert set(mixed.asked) == set(range(ROWS))


def test_killed_at_ten_moments_it_comes_out_the_same(
    images,
    endpoint: Endpoint,  # noqa: F811
    asked_of: Path,
    folder: Path,
) -> None:
    """What was under way when it was killed may be paid again, nothing else."""
    mixed = endpoint.handle_instead = Mixed()
    draw = random.Random(18)
    mixed.kill_at = {20 * kill + draw.randrange(5, 12) for kill in range(KILLS)}
    killed = 0
    while run(mixed, endpoint.url, asked_of, images, folder):
        killed += 1
    assert killed == KILLS
    assert outcomes(folder) == expected()
    again = mixed.served.total() - len(mixed.served)
    assert again <= KILLS * CONCURRENCY
    paid_again = mixed.paid.total() - len(mixed.paid)
    assert paid_again <= again
