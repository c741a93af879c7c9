"""Every picture gets a caption and three questions; what does not fit is asked for again."""

import itertools
import json
from collections import Counter, defaultdict

import pytest

from components.generation.prompts import render
from components.generation.questions import write_questions
from components.generation.writing import Picture, Writer
from spavl.chat import ChatReply
from spavl.chat.pocket_templates import PocketTemplatesChat
from spavl.chat.transformers_backend import TransformersChat
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.pocket.texts import questions as templates
from spavl.records import QUESTION_KINDS, Question, SetAside
from spavl.settings.questions import QuestionsSettings
from spavl.shards import read_records

SETTINGS = {"threads": 1, "caption_sampling": {"max_new_tokens": 6}, "block_size": 3}


def read(output):
    return list(read_records(output, Question))


def test_each_picture_gets_three_kinds_of_training_templates(images, model, folder):
    write_questions(SETTINGS, images, model, str(folder / "out"))
    rows = read(folder / "out")
    kinds = defaultdict(list)
    for row in rows:
        kinds[row.image_id].append(row.kind)
        assert row.text in (*templates(row.kind, "train"), *templates(row.kind, "train", "guard"))
        assert row.caption
        assert row.maker.template == f"{row.kind}.v1"
        assert json.loads(row.maker.sampling)["temperature"] == 0.7
    in_store = [facts.image_id for facts in ImageStore(images.uri).facts()]
    assert dict(kinds) == {image_id: list(QUESTION_KINDS) for image_id in in_store}
    assert list(kinds) == in_store
    assert len({row.question_id for row in rows}) == len(rows)


def test_blocks_do_not_change_the_questions_and_a_seed_does(images, model, folder):
    def texts(name, **changes):
        write_questions({**SETTINGS, **changes}, images, model, str(folder / name))
        return [(row.question_id, row.text) for row in read(folder / name)]

    first = texts("a")
    assert texts("b", block_size=100) == first
    assert texts("c", seed=5) != first


def test_a_killed_step_asks_for_nothing_twice(images, model, folder, monkeypatch):
    served = Counter()
    dies_after = itertools.count()

    def counted(plain):
        def reply(self, requests, sampling, done=()):
            for answer in plain(self, requests, sampling, done):
                if next(dies_after) == 8:
                    raise KeyboardInterrupt
                served[answer.record_id] += 1
                yield answer

        return reply

    for backend in (TransformersChat, PocketTemplatesChat):
        monkeypatch.setattr(backend, "reply", counted(backend.reply))
    with pytest.raises(KeyboardInterrupt):
        write_questions(SETTINGS, images, model, str(folder / "out"))
    write_questions(SETTINGS, images, model, str(folder / "out"))
    assert len(read(folder / "out")) == 21
    assert set(served.values()) == {1}
    assert len(served) == 7 + 21


class Scripted:
    """A writer that gives back, for each kind, the script's next text."""

    model_id = "scripted"

    def __init__(self, **script):
        self.script = {kind: list(texts) for kind, texts in script.items()}
        self.seeds = []

    def reply(self, requests, sampling, done=()):
        self.seeds.append(sampling.seed)
        for request in requests:
            kind = request.messages[-1].text.split("Kind: ")[1].split()[0]
            text, *reason = self.script[kind].pop(0).split("|")
            yield ChatReply(request.record_id, text, *(reason or ["stop"]), 1, 1)


def write(**script):
    writer = Scripted(**script)
    counts = Counter()
    picture = Picture("i", b"", "a lamp")
    rows = list(Writer(writer, QuestionsSettings()).questions([picture], counts))
    return rows, writer, counts


def test_malformed_texts_are_asked_for_again_with_another_seed():
    rows, writer, counts = write(
        easy_question=["no ending", "|error", "How is it?"],
        hard_question=["Why is it?"],
        hard_statement=["Do it.|length", "Do it."],
    )
    assert [row.text for row in rows] == ["How is it?", "Why is it?", "Do it."]
    assert len(set(writer.seeds)) == 3
    assert counts == {
        "asked again: wrong ending": 1,
        "asked again: cut off": 1,
        "asked again: not served by the endpoint": 1,
    }


def test_after_the_last_attempt_a_question_is_set_aside_with_its_reason():
    rows, _, _ = write(
        easy_question=["How is it?"],
        hard_question=["Why is it?"],
        hard_statement=["", "", "two\nlines."],
    )
    assert [type(row) for row in rows] == [Question, Question, SetAside]
    assert (rows[2].reason, rows[2].detail) == ("several lines", "hard_statement of i")


def test_the_same_question_is_not_kept_twice_for_a_picture():
    rows, _, _ = write(
        easy_question=["How is it done?"],
        hard_question=["how is it  done?", "HOW IS IT DONE?", "How is it done!"],
        hard_statement=["Do it."],
    )
    assert [getattr(row, "reason", None) for row in rows] == [None, "duplicate", None]


@pytest.mark.parametrize("kind", QUESTION_KINDS)
def test_writing_prompts_say_kind_caption_and_bound(kind):
    prompt = render(f"{kind}.v1", caption="a lamp", max_characters=120)
    assert prompt.endswith(f"Kind: {kind}\nCaption: a lamp")
    assert "120 characters" in prompt


def test_an_unknown_prompt_version_is_bad_input_that_lists_the_known():
    with pytest.raises(InputError, match=r"easy_question\.v1"):
        render("easy_question.v99")
