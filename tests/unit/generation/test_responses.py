"""Every responder answers every question once, and tasks may be cut and dealt as one likes."""

import itertools
import json
from collections import Counter
from dataclasses import replace

import pytest

from components.generation import responses as stage
from components.generation.answering import Answerer
from components.generation.responses import answer
from spavl.chat import ChatReply
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.pocket.texts import persona
from spavl.records import REFUSED_BY_ENDPOINT as KIND
from spavl.records import Maker, Question, Response, SetAside
from spavl.settings.responses import ResponderSettings, ResponsesSettings
from spavl.shards import DatasetWriter, read_records

TINY = {"backend": "transformers", "batch_size": 4}
WARM = {"max_new_tokens": 5, "temperature": 1.0}
SETTINGS = {
    "threads": 1,
    "block_size": 8,
    "responders": [
        {"id": "eager", "chat": TINY, "persona": "eager", "sampling": WARM},
        {"id": "careful", "chat": TINY, "persona": "careful", "sampling": WARM},
        {"id": "plain", "chat": TINY, "system": "Answer in one word.", "sampling": WARM},
    ],
}


@pytest.fixture(scope="session")
def questions(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions")
    with DatasetWriter(folder, Question) as writer:
        for place, facts in enumerate(ImageStore(images.uri).facts()):
            for kind in ("easy_question", "hard_statement"):
                name = f"{place}-{kind}"
                writer.add(Question(name, facts.image_id, kind, "What?", "c", Maker("m")))
    return str(folder)


def answers(folder):
    return list(read_records(folder, Response))


def test_every_responder_answers_every_question_once(images, model, questions, folder):
    answer(SETTINGS, ["eager", "plain"], questions, images, model, str(folder / "out"))
    rows = answers(folder / "out")
    asked = [question.question_id for question in read_records(questions, Question)]
    for responder in ("eager", "plain"):
        own = [row for row in rows if row.responder == responder]
        assert [row.question_id for row in own] == asked
        for row in own:
            assert row.maker.model == "tiny-base"
            assert json.loads(row.maker.sampling)["max_new_tokens"] == 5
            assert ("cut_off" in row.flags) == (row.finish_reason == "length")
    assert {row.maker.template for row in rows} == {"persona:eager", None}
    assert len({row.response_id for row in rows}) == len(rows) == 28


def test_answers_do_not_depend_on_who_shares_the_task(images, model, questions, folder):
    answer(SETTINGS, ["eager", "careful"], questions, images, model, str(folder / "both"))
    answer(SETTINGS, ["careful"], questions, images, model, str(folder / "one"))
    together = [row for row in answers(folder / "both") if row.responder == "careful"]
    assert together == answers(folder / "one")


def test_a_step_that_was_killed_gives_the_same_answers(
    images, model, questions, folder, monkeypatch
):
    answer(SETTINGS, ["eager"], questions, images, model, str(folder / "whole"))
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(folder / "other"))
    seen = itertools.count()
    plain = Answerer._record

    def dying(self, reply, question):
        if next(seen) == 10:
            raise KeyboardInterrupt
        return plain(self, reply, question)

    monkeypatch.setattr(Answerer, "_record", dying)
    with pytest.raises(KeyboardInterrupt):
        answer(SETTINGS, ["eager"], questions, images, model, str(folder / "again"))
    (journal,) = (folder / "other").rglob("journal.jsonl")
    kept = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(kept[:6]) + kept[6][:20])
    answer(SETTINGS, ["eager"], questions, images, model, str(folder / "again"))
    assert answers(folder / "again") == answers(folder / "whole")


def test_the_result_counts_tokens_and_flags_per_responder(
    images, model, questions, folder, work_root
):
    answer(SETTINGS, ["eager"], questions, images, model, str(folder / "out"))
    (commit,) = work_root.rglob("commit.json")
    tally = json.loads(commit.read_text())["result"]["responders"]["eager"]
    rows = answers(folder / "out")
    assert tally["answers"] == len(rows)
    assert tally["prompt_tokens"] == sum(row.prompt_tokens for row in rows)
    assert tally["completion_tokens"] == sum(row.completion_tokens for row in rows)
    flags = Counter(flag for row in rows for flag in row.flags)
    assert {name: tally[name] for name in flags} == flags


class Recording:
    """Keeps the requests; turns the first one down."""

    model_id = "recording"

    def __init__(self):
        self.requests = []

    def reply(self, requests, sampling, done=()):
        self.requests = list(requests)
        for place, request in enumerate(requests):
            if place == 0:
                yield ChatReply(request.record_id, "", "error", 0, 0, "status 400")
            else:
                yield ChatReply(request.record_id, "fine", "stop", 2, 1)


def responder(**changes):
    return ResponderSettings.model_validate({"id": "r", "chat": TINY, **changes})


@pytest.mark.parametrize(
    ("changes", "system"),
    [
        ({"persona": "careful"}, persona("careful").system),
        ({"persona": "base"}, None),
        ({"system": "Be kind."}, "Be kind."),
        ({}, None),
    ],
)
def test_a_persona_is_its_system_prompt_and_nothing_else(images, questions, changes, system):
    chat, store = Recording(), ImageStore(images.uri)
    block = list(read_records(questions, Question))[:2]
    list(Answerer(responder(**changes), chat, 0).answers(block, store, Counter()))
    for request in chat.requests:
        roles = [(message.role, message.text) for message in request.messages]
        assert roles == [*([("system", system)] if system else []), ("user", "What?")]
        assert request.image == store.content(block[0].image_id)


def test_what_an_endpoint_turns_down_is_set_aside(images, questions):
    block = list(read_records(questions, Question))[:3]
    counts = Counter()
    rows = list(
        Answerer(responder(), Recording(), 0).answers(block, ImageStore(images.uri), counts)
    )
    assert [type(row) for row in rows] == [SetAside, Response, Response]
    assert rows[0].detail == "status 400"
    assert counts == {"set asides": 1, "answers": 2, "prompt_tokens": 4, "completion_tokens": 2}


class Refusing(Recording):
    """Refuses the first request for its content."""

    def reply(self, requests, sampling, done=()):
        for reply in super().reply(requests, sampling, done):
            yield replace(reply, refused=reply.finish_reason == "error")


@pytest.mark.parametrize("keep", [False, True])
def test_what_an_endpoint_refuses_is_set_aside_or_an_answer_of_its_own_kind(
    images, questions, keep
):
    block = list(read_records(questions, Question))[:3]
    counts = Counter()
    answerer = Answerer(responder(), Refusing(), 0, keep)
    first, *others = answerer.answers(block, ImageStore(images.uri), counts)
    if keep:
        assert (first.text, first.finish_reason, first.flags) == ("", KIND, [KIND])
    else:
        assert (first.reason, first.detail) == ("refused by the endpoint", "status 400")
    assert counts[KIND] == 1
    assert [row.text for row in others] == ["fine", "fine"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"id": "eager"}, "defined twice"),
        ({"id": "x", "persona": "eager", "system": "y"}, "not both"),
        ({"id": "a b"}, "responders"),
    ],
)
def test_wrong_responders_are_bad_settings(change, told):
    raw = {**SETTINGS, "responders": [*SETTINGS["responders"], change]}
    with pytest.raises(InputError, match=told):
        ResponsesSettings.parse(raw, "responses")


def test_unknown_responders_and_personas_are_named(images, model, questions, folder):
    with pytest.raises(InputError, match="no responder 'nobody'"):
        answer(SETTINGS, ["nobody"], questions, images, model, str(folder / "out"))
    with pytest.raises(InputError, match="no persona 'saint'"):
        Answerer(responder(persona="saint"), Recording(), 0)


def test_another_responders_settings_do_not_touch_finished_work(
    images, model, questions, folder, monkeypatch
):
    answer(SETTINGS, ["careful"], questions, images, model, str(folder / "one"))
    changed = {**SETTINGS, "responders": SETTINGS["responders"][1:]}

    def opened(*_):
        raise AssertionError("the work was done before")

    monkeypatch.setattr(stage, "open_chat", opened)
    answer(changed, ["careful"], questions, images, model, str(folder / "two"))
    assert answers(folder / "two") == answers(folder / "one")
