"""Settings pick the backend by their key `backend`."""

import pytest
from pydantic import TypeAdapter, ValidationError

from spavl.chat import (
    ChatRequest,
    ChatSettings,
    Journal,
    JournaledChat,
    Message,
    Sampling,
    open_chat,
)
from spavl.chat.openai_backend import OpenAIChat
from spavl.chat.pocket_templates import PocketTemplatesChat
from spavl.errors import InputError
from spavl.pocket.texts import templates
from spavl.work import Reference

READ = TypeAdapter(ChatSettings).validate_python
WARM = Sampling(max_new_tokens=8, temperature=1.0)


@pytest.fixture
def journal(tmp_path, monkeypatch):
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path))
    with Journal(tmp_path / "journal") as journal:
        yield journal


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ({"backend": "openai", "base_url": "http://h/v1", "model": "m"}, OpenAIChat),
        ({"backend": "pocket_templates"}, JournaledChat),
    ],
)
def test_each_backend_is_opened_by_its_settings(raw, kind, journal):
    with open_chat(READ(raw), journal) as chat:
        assert isinstance(chat, kind)


@pytest.mark.parametrize(
    ("raw", "folder"),
    [
        ({"backend": "transformers"}, "/models/base"),
        ({"backend": "transformers", "model": "/models/other"}, "/models/other"),
    ],
)
def test_the_runs_own_model_is_opened_unless_another_is_named(raw, folder, journal):
    base = Reference("/models/base", "d")
    # Neither is there, so the message names it.
    with pytest.raises(InputError, match=folder), open_chat(READ(raw), journal, base):
        pass


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


def test_a_user_in_the_address_and_a_key_exclude_each_other():
    raw = {"backend": "openai", "base_url": "http://u:secret@h/v1", "model": "m"}
    assert READ(raw).base_url
    with pytest.raises(ValidationError, match="leave one of them out"):
        READ({**raw, "api_key_env": "KEY"})


def test_a_model_must_come_from_somewhere(journal):
    chat = open_chat(READ({"backend": "transformers"}), journal)
    with pytest.raises(InputError, match="name the folder of a model"), chat:
        pass


def test_pocket_templates_of_the_asked_kind_are_spread_by_record_id():
    asked = [
        ChatRequest(str(i), (Message("user", "Write.\nKind: hard_statement\nCaption: x"),))
        for i in range(200)
    ]
    texts = [reply.text for reply in PocketTemplatesChat().reply(asked, WARM)]
    written = {
        split: {t.text for t in templates() if (t.kind, t.split) == ("hard_statement", split)}
        for split in ("train", "test")
    }
    assert set(texts) == written["train"]
    assert not set(texts) & written["test"]
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
