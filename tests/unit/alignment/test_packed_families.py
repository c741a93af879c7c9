"""Packed equals plain for the further families, whose features and text are the library's own."""

from pathlib import Path
from typing import Any

import pytest
import torch

from spavl.alignment.engines import choose_engines
from spavl.alignment.logprobs import PlainEngine
from spavl.alignment.loop import prepare_for_training
from spavl.alignment.packed_engine import PackedEngine
from spavl.alignment.rewards import RewardEngine
from spavl.chat.interface import Sampling
from spavl.models.adapters import AdaptedModel, AdapterShape, projector_names
from spavl.models.generation import generate, generate_from, pad_left
from spavl.models.load import load_policy, load_reward_model
from spavl.models.pictures import Pictures, freeze_tower, same_tower
from spavl.models.prompts import question_prompt
from spavl.models.saving import save_model
from spavl.settings.dpo import DpoSettings
from tests.unit.alignment.families import FURTHER, NAMES, Scene, make_scene, shapes
from tests.unit.alignment.test_engines import Choice
from tests.unit.alignment.test_packed_engine import Sizes, assert_same


@pytest.fixture(scope="module", params=FURTHER)
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    found = make_scene(request.param, tmp_path_factory.mktemp("further"), Sizes())
    freeze_tower(found.policy)
    freeze_tower(found.reward)
    return found


def test_log_probs_of_rows_of_every_shape(scene: Scene) -> None:
    plain, narrow = PlainEngine(scene.pictures, 0), PackedEngine(scene.pictures, 0, 120)
    said: list[str] = []
    engines = choose_engines(scene.policy, scene.pictures, 0, Choice(), said.append)
    assert engines.told == {"name": "packed"}
    for name in NAMES:
        rows = shapes(scene)[name]
        for packed in (engines.log_probs, narrow):
            assert_same(
                scene.policy,
                lambda rows=rows: plain.response_log_probs(scene.policy, rows).values,
                lambda rows=rows, e=packed: e.response_log_probs(scene.policy, rows).values,
            )


def test_rewards_and_values_of_rows_of_every_shape(scene: Scene) -> None:
    plain, packed = RewardEngine(scene.pictures, 0), PackedEngine(scene.pictures, 0, 4096)
    for name in ("many questions, many pictures", "two pictures", "unequal answers"):
        rows = shapes(scene)[name]
        for score in ("rewards", "values"):
            assert_same(
                scene.reward,
                lambda rows=rows, s=score: getattr(plain, s)(scene.reward, rows),
                lambda rows=rows, s=score: getattr(packed, s)(scene.reward, rows),
            )


@torch.no_grad()
def test_kept_features_and_our_expansion_give_what_the_library_makes_of_the_pixels(
    scene: Scene, tmp_path: Path
) -> None:
    model, processor = scene.policy, scene.tokeniser._processor
    for name in "abc":
        text = question_prompt(processor, "Hm?")
        inputs = processor(text=[text], images=[[Sizes().open(name)]], return_tensors="pt")
        ids = inputs["input_ids"]
        assert tuple(ids[0].tolist()) == scene.tokeniser.prompt(name, "Hm?")
        found = model(input_ids=ids, **scene.pictures.inputs_for(model, [name], ids)).logits
        inputs.pop("num_patches", None)
        torch.testing.assert_close(found, model(**inputs).logits, atol=1e-5, rtol=1e-5)


def test_answers_from_kept_features_are_those_from_pixels_and_share_their_prompts(
    scene: Scene,
) -> None:
    model, processor = scene.policy, scene.tokeniser._processor
    greedy = Sampling(max_new_tokens=6, temperature=0.0)
    texts = [question_prompt(processor, "Hm?")] * 2
    expected = generate(model, processor, texts, [Sizes().open(name) for name in "ab"], greedy)
    prompts = [scene.tokeniser.prompt(name, "Hm?") for name in "ab"]
    inputs = pad_left(prompts, 0, model.device)
    for repeats in (1, 2):
        pictures = scene.pictures.inputs_for(model, ["a", "b"], inputs["input_ids"])
        found = generate_from(model, processor.tokenizer, {**inputs, **pictures}, greedy, repeats)
        assert found.token_ids == [ids for ids in expected.token_ids for _ in range(repeats)]


def test_the_tower_is_frozen_and_the_projector_learns(scene: Scene) -> None:
    model: Any = scene.policy
    names = projector_names(model)
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen
    assert not [n for n in frozen if "language" in n or "text_model" in n or "lm_head" in n]
    assert not [n for n in frozen if n.startswith(tuple(names))]
    model.zero_grad()
    rows = shapes(scene)["one question"]
    engine = PackedEngine(scene.pictures, 0, 4096)
    engine.response_log_probs(model, rows).values.sum().backward()
    for name in names:
        moved = [weight.grad for weight in model.get_submodule(name).parameters()]
        assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in moved), name


@pytest.mark.parametrize("family", FURTHER)
def test_adapters_learn_and_a_reward_model_reloads(family: str, tmp_path: Path) -> None:
    found = make_scene(family, tmp_path)
    save_model(found.reward, found.tokeniser._processor, tmp_path / "reward", {})
    again, processor = load_reward_model(tmp_path / "reward")
    assert torch.equal(again.score.weight, found.reward.score.weight)
    assert same_tower(again, load_policy(tmp_path / family)[0])
    assert processor.image_token == found.tokeniser._processor.image_token
    adapters = AdaptedModel(found.policy)
    adapters.add("policy", AdapterShape(2, 4, 0.0, ("q_proj", "up_proj"), True))
    prepare_for_training(found.policy, DpoSettings(dtype="float32", use_peft=True))
    rows = shapes(found)["one question"]
    engine = PackedEngine(found.pictures, 0, 4096)
    engine.response_log_probs(found.policy, rows).values.sum().backward()
    weights = adapters.weights("policy")
    assert any("lora" in name for name in weights)
    assert any("modules_to_save" in name for name in weights)
    learned = [n for n, w in weights.items() if w.grad is not None and w.grad.abs().sum() > 0]
    assert len(learned) > len(weights) / 3
    assert isinstance(found.pictures, Pictures)
