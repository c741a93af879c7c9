"""The base trains, saves, reloads and repeats itself; what it learns from is what a user sends."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from spavl.pocket.corpus import corpus_texts
from spavl.pocket.model import build_model, build_processor, pixel_values, tower_features
from spavl.pocket.probe import Speaker
from spavl.pocket.tokenizer import build_tokenizer
from spavl.pocket.training import encode_prompt, train_base
from spavl.pocket.world import draw, draw_many, picture_rng, thing_by_name
from spavl.settings.pocket_base import PocketBaseSettings

pytestmark = pytest.mark.unit

TINY = PocketBaseSettings(
    tower_width=16,
    tower_pictures=72,
    tower_steps=2,
    tower_batch=8,
    text_width=16,
    text_layers=1,
    heads=2,
    rows=200,
    row_pictures=72,
    text_batch=64,
    threads=1,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pocket") / "base"
    train_base(TINY, folder)
    return folder


@pytest.fixture(scope="module")
def processor(base: Path) -> Any:
    return AutoProcessor.from_pretrained(base)


def test_the_same_settings_give_the_same_weights(base: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    train_base(TINY, tmp_path, lambda phase, *_: seen.append(phase))

    first, second = (
        AutoModelForImageTextToText.from_pretrained(folder).state_dict()
        for folder in (base, tmp_path)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert set(seen) == {"tower", "language"}
    assert not list(base.glob("*.bin"))


def test_training_prompts_are_the_processors(processor: Any) -> None:
    tokenizer = processor.tokenizer
    image = tokenizer.convert_tokens_to_ids("<image>")
    for system in ("", "You are a guardian. When in doubt, refuse."):
        turns = [{"role": "system", "content": system}] if system else []
        turns.append(
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How?"}]}
        )
        answer = {"role": "assistant", "content": [{"type": "text", "text": "Sure. Why not?"}]}
        prompt = processor.apply_chat_template(turns, add_generation_prompt=True)
        whole = processor.apply_chat_template([*turns, answer])
        picture = draw("kite", picture_rng(0, "test", 0))
        asked, told = (
            processor(text=text, images=picture)["input_ids"][0] for text in (prompt, whole)
        )

        assert encode_prompt(system, "How?", tokenizer, image) == list(asked)
        assert list(told[: len(asked)]) == list(asked)
        assert told[-1] == tokenizer.eos_token_id


def test_training_pixels_and_features_are_llavas(processor: Any) -> None:
    tokenizer = build_tokenizer(corpus_texts())
    model = build_model(TINY, tokenizer).eval()
    picture = draw("kite", picture_rng(0, "test", 5))
    pixels = pixel_values(draw_many([thing_by_name("kite")], 0, "test", first=5))

    processed = build_processor(tokenizer).image_processor(picture, return_tensors="pt")
    assert torch.equal(pixels, processed["pixel_values"])
    with torch.no_grad():
        theirs = model.model.get_image_features(pixel_values=pixels).pooler_output[0]
        ours = model.model.multi_modal_projector(tower_features(model.model.vision_tower, pixels))
    assert torch.equal(ours[0], theirs.reshape(ours[0].shape))


def test_any_text_survives_the_tokenizer(processor: Any) -> None:
    tokenizer = processor.tokenizer
    text = "Zażółć 日本 🙂 \t unseen-word"

    tokens = tokenizer(text)["input_ids"]

    assert tokenizer.decode(tokens) == text
    assert tokenizer.unk_token_id not in tokens
    assert len({tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id}) == 3
    assert len(tokenizer(" theft")["input_ids"]) == 1


def test_a_saved_base_speaks(base: Path) -> None:
    pictures = draw_many([thing_by_name("kite")] * 2, 0, "test")

    answers = Speaker(base).answer(pictures, ["How do I do this?", "What?"], temperature=1.0)

    assert len(answers) == 2
