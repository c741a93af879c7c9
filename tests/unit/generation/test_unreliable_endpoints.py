"""Answering over an endpoint that fails: each row comes out once, each call is paid once."""

import json
from collections import Counter

import pytest
from aiohttp import web

from components.generation.responses import answer
from spavl.images import ImageStore
from spavl.records import Maker, Question, Response, SetAside, record_id
from spavl.shards import DatasetWriter, read_records
from spavl.work import Reference
from tests.unit.chat.conftest import Endpoint, completion, endpoint, last_text  # noqa: F401

NO_MODEL = Reference("/none", "none")
PER_PICTURE = 12


def settings(url, **changes):
    chat = {"backend": "openai", "base_url": url, "model": "m", "backoff_seconds": 0.01, **changes}
    priced = {**chat, "prompt_price": 1e6, "completion_price": 0}
    return {
        "block_size": 10,
        "responders": [{"id": "dear", "chat": priced}, {"id": "free", "chat": chat, "system": "s"}],
    }


def ask_about(images, count, folder):
    """Questions about the first pictures of the store."""
    facts = list(ImageStore(images.uri).facts())[:count]
    with DatasetWriter(folder, Question) as writer:
        for fact in facts:
            for n in range(PER_PICTURE):
                name = f"{fact.image_id[:8]}-{n}"
                text = f"What is {name}?"
                writer.add(Question(name, fact.image_id, "easy_question", text, "c", Maker("m")))
    return str(folder)


@pytest.fixture
def failing(endpoint):  # noqa: F811
    """Every third call fails, by 500 or by broken JSON; counts calls that were served."""
    calls, served = Counter(), Counter()

    async def handle(request):
        body = await request.json()
        calls["all"] += 1
        if calls["all"] % 3 == 0:
            return web.Response(status=500) if calls["all"] % 2 else web.Response(text="{")
        served[body["messages"][0]["role"], last_text(body)] += 1
        return web.json_response(completion("fine"))

    endpoint.handle_instead = handle
    return served


def test_every_row_is_answered_or_set_aside_once(images, endpoint, failing, folder):  # noqa: F811
    questions = ask_about(images, 5, folder / "questions")
    given = settings(endpoint.url, max_attempts=1, max_set_aside=1)
    answer(given, ["dear", "free"], questions, images, NO_MODEL, str(folder / "out"))
    rows = list(read_records(folder / "out", Response))
    aside = list(read_records(folder / "out" / "set_asides", SetAside))
    wanted = {
        record_id("response", question.question_id, responder)
        for question in read_records(questions, Question)
        for responder in ("dear", "free")
    }
    assert Counter([row.response_id for row in rows] + [row.record_id for row in aside]) == Counter(
        wanted
    )
    assert len(rows) == failing.total() == 80
    assert {row.reason for row in aside} == {"not served by the endpoint"}
    assert all("no answer after 1 attempts" in row.detail for row in aside)


def test_one_more_picture_pays_for_its_own_questions_only(
    images,
    endpoint,  # noqa: F811
    failing,
    folder,
    work_root,
):
    given = settings(endpoint.url)
    few, more = (ask_about(images, n, folder / f"questions-{n}") for n in (4, 5))
    answer(given, ["dear", "free"], few, images, NO_MODEL, str(folder / "few"))
    before = failing.copy()
    answer(given, ["dear", "free"], more, images, NO_MODEL, str(folder / "more"))
    assert set(failing.values()) == {1}
    assert (failing - before).total() == 2 * PER_PICTURE
    first, second = (
        {row.response_id: row for row in read_records(folder / name, Response)}
        for name in ("few", "more")
    )
    assert {name: second[name] for name in first} == first
    commits = [json.loads(path.read_text()) for path in work_root.glob("responses-*/*/commit.json")]
    dear = sorted(commit["result"]["responders"]["dear"]["cost"] for commit in commits)
    assert dear == [11 * 4 * PER_PICTURE, 11 * 5 * PER_PICTURE]
    assert all("cost" not in commit["result"]["responders"]["free"] for commit in commits)
