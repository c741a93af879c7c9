"""Adapters: nothing until trained, the base bit for bit when off, whole when saved and loaded."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file, save_file

from spavl.errors import InputError
from spavl.models.adapters import (
    HEAD_FILE,
    WEIGHTS_FILE,
    AdaptedModel,
    AdapterShape,
    head_on,
    saved_head,
)
from spavl.models.load import Precision, load_policy, load_reward_model
from spavl.models.prompts import question_prompt
from tests.unit.models.tiny import PictureBook, save_tiny

SHAPE = AdapterShape(4, 8, 0.0, ("q_proj", "up_proj"), True)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("base"))


@pytest.fixture
def model(base: Path) -> Any:
    return load_policy(base)[0]


@pytest.fixture(scope="module")
def inputs(base: Path) -> Any:
    processor = load_policy(base)[1]
    texts = [question_prompt(processor, question) for question in ("Hm?", "How?")]
    pictures = [[PictureBook().open(name)] for name in "ab"]
    return processor(text=texts, images=pictures, return_tensors="pt", padding=True)


def train(adapters: AdaptedModel, name: str, inputs: Any, steps: int = 3) -> None:
    """Steps on a loss that every weight of the adapter has a part in."""
    weights = adapters.weights(name)
    optimizer = torch.optim.AdamW(weights.values(), lr=1e-2)
    for _ in range(steps):
        with adapters.using(name):
            adapters.model(**inputs, labels=inputs["input_ids"]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@torch.no_grad()
def logits(model: Any, inputs: Any) -> torch.Tensor:
    found: torch.Tensor = model(**inputs).logits
    return found


def test_a_fresh_adapter_changes_nothing_and_holds_no_part_of_the_tower(
    model: Any, inputs: Any
) -> None:
    before = logits(model, inputs)
    adapters = AdaptedModel(model)
    adapters.add("policy", SHAPE)
    assert torch.equal(logits(model, inputs), before)
    names = adapters.weights("policy").keys()
    assert not [name for name in names if "vision_tower" in name]
    assert [name for name in names if "multi_modal_projector" in name]
    assert set(names) == {n for n, value in model.named_parameters() if value.requires_grad}


def test_with_adapters_off_the_base_speaks_bit_for_bit_before_and_after_training(
    model: Any, inputs: Any
) -> None:
    before = logits(model, inputs)
    adapters = AdaptedModel(model)
    adapters.add("policy", SHAPE)
    adapters.add("value", SHAPE)
    train(adapters, "policy", inputs)
    with adapters.using(None):
        assert torch.equal(logits(model, inputs), before)
    with adapters.using("value"):  # another adapter's training is not seen either
        assert torch.equal(logits(model, inputs), before)
    with adapters.using("policy"):
        assert (logits(model, inputs) - before).abs().max() > 0.1


def test_saved_loaded_and_merged_it_says_the_same(
    model: Any, base: Path, inputs: Any, tmp_path: Path
) -> None:
    adapters = AdaptedModel(model)
    adapters.add("other", SHAPE)
    adapters.add("policy", SHAPE)
    train(adapters, "policy", inputs)
    with adapters.using("policy"):
        trained = logits(model, inputs)
    adapters.save("policy", tmp_path)
    fresh = load_policy(base)[0]
    loaded = AdaptedModel(fresh)
    loaded.load("anything", tmp_path)
    assert torch.equal(logits(fresh, inputs), trained)
    merged = adapters.merge("policy")
    torch.testing.assert_close(logits(merged, inputs), trained, atol=1e-4, rtol=1e-4)
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]


def test_gradients_do_not_depend_on_recomputed_activations(model: Any, inputs: Any) -> None:
    adapters = AdaptedModel(model)
    for name in ("policy", "value"):
        adapters.add(name, SHAPE)
        train(adapters, name, inputs, steps=1)
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
            model.train()
        model.zero_grad()
        for name in ("policy", "value"):
            with adapters.using(name):
                model(**inputs, labels=inputs["input_ids"]).loss.backward()
        gradients.append({n: p.grad.clone() for n, p in adapters.weights("policy").items()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-6, rtol=1e-4)


def test_a_bfloat16_base_carries_adapters(base: Path, inputs: Any) -> None:
    model = load_policy(base, precision=Precision("bfloat16", "cpu"))[0]
    adapters = AdaptedModel(model)
    adapters.add("policy", SHAPE)
    small = {**inputs, "pixel_values": inputs["pixel_values"].bfloat16()}
    with adapters.using("policy"):
        model(**small, labels=inputs["input_ids"]).loss.backward()
    assert all(p.grad.isfinite().all() for p in adapters.weights("policy").values())


def test_a_head_on_a_borrowed_backbone_scores_like_a_reward_model(base: Path, inputs: Any) -> None:
    torch.manual_seed(1)
    reward_model, _ = load_reward_model(base)
    policy = load_policy(base)[0]
    borrower = head_on(policy, reward_model.score.weight.detach())
    assert borrower.model is policy.model
    with torch.no_grad():
        assert torch.equal(borrower(**inputs), reward_model(**inputs))


def test_a_target_that_matches_nothing_is_named_with_what_there_is(model: Any) -> None:
    shape = AdapterShape(4, 8, 0.0, ("q_proj", "qkv"), True)
    with pytest.raises(InputError, match=r"'qkv' matches no linear layer.*q_proj"):
        AdaptedModel(model).add("policy", shape)


def test_an_adapter_that_lacks_weights_or_fits_another_base_is_refused(
    model: Any, base: Path, tmp_path: Path
) -> None:
    adapters = AdaptedModel(model)
    adapters.add("policy", SHAPE)
    adapters.save("policy", tmp_path)
    tensors = load_file(tmp_path / WEIGHTS_FILE)
    lacking = {name: value for name, value in tensors.items() if "projector" not in name}
    save_file(lacking, tmp_path / WEIGHTS_FILE)
    with pytest.raises(InputError, match=r"does not fit the base.*projector"):
        AdaptedModel(load_policy(base)[0]).load("policy", tmp_path)
    (tmp_path / WEIGHTS_FILE).unlink()
    torch.save(tensors, tmp_path / "adapter_model.bin")
    with pytest.raises(InputError, match="no adapter here"):
        AdaptedModel(load_policy(base)[0]).load("policy", tmp_path)
    with pytest.raises(InputError, match="no reward head here"):
        saved_head(tmp_path)


def test_damaged_adapters_and_heads_are_refused_by_name(base: Path, tmp_path: Path) -> None:
    adapters = AdaptedModel(load_reward_model(base)[0])
    adapters.add("reward", SHAPE)
    adapters.save("reward", tmp_path)
    for file, read in (
        (WEIGHTS_FILE, lambda: AdaptedModel(load_policy(base)[0]).load("reward", tmp_path)),
        (HEAD_FILE, lambda: saved_head(tmp_path)),
    ):
        path = tmp_path / file
        whole = path.read_bytes()
        tensors = load(whole)
        for content in (b"", whole[:-5], b"\x80\x04}."):  # the last is a pickle
            path.write_bytes(content)
            with pytest.raises(InputError, match=rf"unreadable weights .*{file}"):
                read()
        next(iter(tensors.values())).view(-1)[0] = float("nan")
        save_file(tensors, path)
        with pytest.raises(InputError, match=rf"holds NaN or infinity .*{file}"):
            read()
        path.write_bytes(whole)
        read()
