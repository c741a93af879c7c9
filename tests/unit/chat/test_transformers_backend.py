"""A model in this process: answers depend on requests, settings and seed, and on nothing else."""

import io

import PIL.Image
import pytest
import torch

from spavl.chat import ChatRequest, Message, Sampling
from spavl.chat.transformers_backend import TransformersChat, compose_batches
from tests.unit.models.tiny import PictureBook, save_tiny

WARM = Sampling(max_new_tokens=6, temperature=1.0, seed=3)


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    torch.set_num_threads(1)
    return TransformersChat(str(save_tiny(tmp_path_factory.mktemp("tiny"))), 4, 1)


def picture(name):
    buffer = io.BytesIO()
    PictureBook().open(name).save(buffer, "PNG")
    return buffer.getvalue()


def requests(count, with_picture=True):
    return [
        ChatRequest(
            f"{'p' if with_picture else 't'}{i:02d}",
            (Message("system", "Help."), Message("user", f"What is this {'x' * i}?")),
            picture(str(i)) if with_picture else None,
        )
        for i in range(count)
    ]


def by_id(replies):
    return {reply.record_id: reply for reply in replies}


def test_answers_do_not_depend_on_the_order_of_the_requests(chat):
    asked = requests(10)
    straight = by_id(chat.reply(asked, WARM))
    assert by_id(chat.reply(asked[::-1], WARM)) == straight
    assert len({reply.text for reply in straight.values()}) > 1


def test_answers_do_not_depend_on_where_the_work_was_interrupted(chat):
    asked = requests(10)
    whole = by_id(chat.reply(asked, WARM))
    done = {"p00", "p01", "p02", "p03", "p05"}
    rest = by_id(chat.reply(asked, WARM, done))
    assert rest == {name: reply for name, reply in whole.items() if name not in done}


def test_another_seed_draws_other_answers(chat):
    asked = requests(8)
    other = Sampling(max_new_tokens=6, temperature=1.0, seed=4)
    assert by_id(chat.reply(asked, WARM)) != by_id(chat.reply(asked, other))


def test_requests_with_and_without_picture_are_batched_apart():
    mixed = [*requests(5), *requests(3, with_picture=False)]
    batches = list(compose_batches(mixed[::-1], 4))
    assert [[r.record_id for r in batch] for batch in batches] == [
        ["p00", "p01", "p02", "p03"],
        ["p04"],
        ["t00", "t01", "t02"],
    ]


def test_text_alone_is_answered_too_and_pictures_count_as_tokens(chat):
    (text,) = chat.reply(requests(1, with_picture=False), WARM)
    (shown,) = chat.reply(requests(1), WARM)
    assert 1 <= text.completion_tokens <= 6
    assert shown.prompt_tokens >= text.prompt_tokens + 4  # 4 picture tokens


def test_any_picture_mode_is_shown_as_rgb(chat):
    buffer = io.BytesIO()
    PIL.Image.new("L", (20, 30), 128).save(buffer, "PNG")
    asked = ChatRequest("grey", (Message("user", "What?"),), buffer.getvalue())
    (reply,) = chat.reply([asked], WARM)
    assert reply.record_id == "grey"
