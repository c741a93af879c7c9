"""Qwen2.5-VL as a backbone: pictures of several sizes, features kept, saved and reloaded."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from spavl.chat.interface import Sampling
from spavl.models.generation import generate, generate_from, pad_left
from spavl.models.load import load_policy, load_reward_model
from spavl.models.pictures import Pictures, freeze_tower, same_tower
from spavl.models.saving import save_model
from tests.unit.models.tiny import PictureBook
from tests.unit.models.tiny_qwen import save_tiny_qwen

PROMPT = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What is this?"


@dataclass(frozen=True)
class Sizes:
    """Pictures whose size is in their name."""

    def open(self, image_id: str):  # type: ignore[no-untyped-def]
        width, height = map(int, image_id.split("x"))
        return PictureBook(32).open(image_id).resize((width, height))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_qwen(tmp_path_factory.mktemp("qwen") / "base")


@torch.no_grad()
def test_kept_features_and_our_expansion_give_what_the_library_makes_of_the_pixels(
    folder: Path,
) -> None:
    model, processor = load_policy(folder)
    pictures = Pictures(model, processor, Sizes())
    shown = ["16x16", "24x40", "32x16"]
    assert pictures.read(shown) == set()
    inputs = processor(
        text=[PROMPT] * 3,
        images=[[Sizes().open(image_id)] for image_id in shown],
        return_tensors="pt",
        padding=True,
        padding_side="right",
    )
    expected = model(**inputs).logits
    texts = [PROMPT.replace(processor.image_token, pictures.placeholder(i)) for i in shown]
    ids = processor.tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
    assert torch.equal(ids["input_ids"], inputs["input_ids"])
    text = {"input_ids": ids["input_ids"], "attention_mask": ids["attention_mask"]}
    found = model(**text, **pictures.inputs_for(model, shown, ids["input_ids"])).logits
    mask = inputs["attention_mask"].bool()
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-5, rtol=1e-5)


def test_only_the_tower_is_frozen_and_the_merger_learns(folder: Path) -> None:
    model, processor = load_policy(folder)
    freeze_tower(model)
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert all(name.startswith("model.visual.") for name in frozen)
    assert not any("merger" in name for name in frozen)
    pictures = Pictures(model, processor, Sizes())
    embedded = pictures.inputs_for(model, ["16x16"])["mm_encoder_outputs"]["image"].pooler_output
    embedded[0].sum().backward()
    assert model.model.visual.merger.mlp[0].weight.grad.abs().sum() > 0


def test_a_reward_model_of_this_family_reloads_in_one_call(folder: Path, tmp_path: Path) -> None:
    model, processor = load_reward_model(folder)
    save_model(model, processor, tmp_path / "reward", {})
    again, again_processor = load_reward_model(tmp_path / "reward")
    assert torch.equal(again.score.weight, model.score.weight)
    assert same_tower(again, load_policy(folder)[0])
    assert type(again_processor.image_processor).__name__ == "Qwen2VLImageProcessorPil"


@torch.no_grad()
def test_kept_features_and_pixels_give_the_same_answers(folder: Path) -> None:
    model, processor = load_policy(folder)
    pictures = Pictures(model, processor, Sizes())
    shown = ["16x16", "24x40"]
    pictures.read(shown)
    greedy = Sampling(max_new_tokens=6, temperature=0.0)
    expected = generate(model, processor, [PROMPT] * 2, [Sizes().open(i) for i in shown], greedy)
    texts = [PROMPT.replace(processor.image_token, pictures.placeholder(i)) for i in shown]
    inputs = pad_left(processor.tokenizer(texts)["input_ids"], 0, model.device)
    found = generate_from(
        model,
        processor.tokenizer,
        {**inputs, **pictures.inputs_for(model, shown, inputs["input_ids"])},
        greedy,
    )
    assert found.token_ids == expected.token_ids
    assert len(expected.token_ids[0]) == 6
