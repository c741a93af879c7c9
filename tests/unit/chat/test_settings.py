"""Settings pick the backend by their key `backend`."""

import pytest
from pydantic import TypeAdapter, ValidationError

from spavl.chat import ChatRequest, ChatSettings, Message, Sampling, chat_from_settings
from spavl.chat.openai_backend import OpenAIChat
from spavl.chat.pocket_templates import PocketTemplatesChat
from spavl.errors import InputError
from spavl.pocket.texts import questions
from spavl.work import Reference

READ = TypeAdapter(ChatSettings).validate_python
WARM = Sampling(max_new_tokens=8, temperature=1.0)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ({"backend": "openai", "base_url": "http://h/v1", "model": "m"}, OpenAIChat),
        ({"backend": "pocket_templates"}, PocketTemplatesChat),
    ],
)
def test_each_backend_is_opened_by_its_settings(raw, kind):
    assert isinstance(chat_from_settings(READ(raw), Reference("/models/base", "d")), kind)


@pytest.mark.parametrize(
    ("raw", "folder"),
    [
        ({"backend": "transformers"}, "/models/base"),
        ({"backend": "transformers", "model": "/models/other"}, "/models/other"),
    ],
)
def test_the_runs_own_model_is_opened_unless_another_is_named(raw, folder):
    with pytest.raises(InputError, match=folder):  # neither is there, so the message names it
        chat_from_settings(READ(raw), Reference("/models/base", "d"))


@pytest.mark.parametrize(
    "raw",
    [
        {"backend": "gpt"},
        {"backend": "openai", "base_url": "http://h/v1"},
        {"backend": "transformers", "batchsize": 3},
        {"backend": "openai", "base_url": "ftp://h", "model": "m"},
    ],
)
def test_wrong_settings_are_refused(raw):
    with pytest.raises(ValidationError):
        READ(raw)


def test_a_model_must_come_from_somewhere():
    with pytest.raises(InputError, match="name the folder of a model"):
        chat_from_settings(READ({"backend": "transformers"}))


def test_pocket_templates_of_the_asked_kind_are_spread_by_record_id():
    asked = [
        ChatRequest(str(i), (Message("user", "Write.\nKind: hard_statement\nCaption: x"),))
        for i in range(200)
    ]
    texts = [reply.text for reply in PocketTemplatesChat().reply(asked, WARM)]
    assert set(texts) == set(questions("hard_statement", "train"))
    assert not set(texts) & set(questions("hard_statement", "test"))
    assert texts == [reply.text for reply in PocketTemplatesChat().reply(asked, WARM)]


def test_pocket_templates_do_not_depend_on_the_caption_or_the_picture():
    def write(caption, image):
        prompt = f"Kind: easy_question\nCaption: {caption}"
        (reply,) = PocketTemplatesChat().reply(
            [ChatRequest("r", (Message("user", prompt),), image)], WARM
        )
        return reply.text

    assert write("This is theft.", b"1") == write("This is a bicycle.", b"2")


def test_a_prompt_without_a_kind_is_refused():
    with pytest.raises(InputError, match="Kind:"):
        list(PocketTemplatesChat().reply([ChatRequest("r", (Message("user", "Hi"),))], WARM))
