"""Which attention packed rows get on an accelerator: every way the choice can go, on the CPU.

flex_attention has a forward pass here and no backward pass, so what it says is held against sdpa
in the first, and its refusal is the real one in the second.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from spavl.alignment import attention_choice, block_attention, processes
from spavl.alignment.attention_choice import (
    choose_attention,
    disagreement,
    relative_difference,
    tolerance,
)
from spavl.alignment.engines import attend_alike, attend_to_tries
from spavl.alignment.packed_engine import PackedEngine, attention_mask, attention_of
from spavl.models.families import language_model
from spavl.models.load import load_policy
from tests.unit.alignment.families import FAMILIES, FURTHER, Scene, make_scene, shapes

AGREES: Callable[[Any], str] = lambda _: ""  # noqa: E731


class OnAccelerator:
    """A model that says it is on a GPU."""

    device = torch.device("cuda")

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene("llava", tmp_path_factory.mktemp("llava"))


@pytest.fixture(autouse=True)
def as_loaded(llava: Scene) -> Iterator[None]:
    yield
    for model in (llava.policy, llava.reward):
        language_model(model).set_attn_implementation("sdpa")


def test_where_block_masks_agree_they_are_taken_and_it_is_told_once(llava: Scene) -> None:
    said: list[str] = []
    choose_attention(llava.policy, said.append, AGREES)
    assert attention_of(llava.policy) == block_attention.NAME
    assert said == ["packed rows attend by flex_attention: on a small trie it agrees with sdpa"]


def test_where_the_kernel_cannot_run_it_is_sdpa_and_the_reason_is_told(llava: Scene) -> None:
    said: list[str] = []
    for model in (llava.policy, llava.reward):
        choose_attention(model, said.append)  # the real trial: no backward pass on a CPU
        assert attention_of(model) == "sdpa"
    assert len(said) == 2
    for text in said:
        assert text.startswith("packed rows attend by sdpa: flex_attention fails here (")
        assert "backward" in text or "grad" in text


def test_where_another_process_cannot_no_process_does(
    llava: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "any_of", lambda mark: True)
    said: list[str] = []
    choose_attention(llava.policy, said.append, AGREES)
    assert attention_of(llava.policy) == "sdpa"
    assert "another process cannot" in said[0]


@pytest.mark.parametrize("part", ["log-probs", "gradients"])
@pytest.mark.parametrize("wrong", [1.0, float("nan")])
def test_results_that_differ_are_an_objection(
    llava: Scene, monkeypatch: pytest.MonkeyPatch, part: str, wrong: float
) -> None:
    seen: list[str] = []

    def small_trie(model: Any, attention: str) -> dict[str, torch.Tensor]:
        seen.append(attention)
        found = {name: torch.linspace(-1, 1, 5) for name in ("log-probs", "gradients")}
        if attention == block_attention.NAME:
            found[part] = found[part] + wrong
        return found

    monkeypatch.setattr(attention_choice, "small_trie", small_trie)
    assert disagreement(llava.policy).startswith(f"differs from sdpa in {part} by")
    assert seen == [block_attention.NAME, "sdpa"]


def test_what_is_held_against_each_other_is_alike_but_for_rounding(
    llava: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eager in flex_attention's place, which is the only other that has gradients here."""
    small_trie = attention_choice.small_trie

    def by_eager(model: Any, attention: str) -> dict[str, torch.Tensor]:
        return small_trie(model, "sdpa" if attention == "sdpa" else "eager")

    monkeypatch.setattr(attention_choice, "small_trie", by_eager)
    assert disagreement(llava.policy) == ""
    assert disagreement(llava.reward) == ""
    found = small_trie(llava.policy, "eager")
    assert found["log-probs"].shape == (150 + 3 * (20 + 2 * 30),)
    assert found["gradients"].norm() > 0
    assert all(weight.grad is None for weight in llava.policy.parameters())


def test_a_mask_that_is_misread_is_far_over_every_tolerance(
    llava: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = attention_choice.small_trie(llava.policy, "sdpa")
    causal = torch.full((1, 1, 390, 390), torch.finfo(torch.float32).min).triu(1)
    monkeypatch.setattr(attention_choice, "attention_mask", lambda *_: causal)
    wrong = attention_choice.small_trie(llava.policy, "sdpa")
    for name, tensor in right.items():
        assert relative_difference(wrong[name], tensor) > 3 * tolerance(torch.bfloat16)


def test_dropout_of_attention_is_an_objection(
    llava: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llava.policy.config.get_text_config(), "attention_dropout", 0.1)
    assert "dropout" in disagreement(llava.policy)


@pytest.mark.parametrize("attention", ["sdpa", "eager", "flex_attention"])
def test_a_folder_that_names_an_implementation_keeps_it(tmp_path: Path, attention: str) -> None:
    make_scene("llava", tmp_path)
    config = tmp_path / "llava" / "config.json"
    content = json.loads(config.read_text()) | {"attn_implementation": attention}
    config.write_text(json.dumps(content))
    model, _ = load_policy(tmp_path / "llava")
    said: list[str] = []
    choose_attention(model, said.append, AGREES)
    assert attention_of(model) == attention
    assert said == [f"packed rows attend by {attention}: the model's folder names it"]
    attend_alike(OnAccelerator(model), OnAccelerator(model))
    assert attention_of(model) == attention


def test_the_cpu_goes_chain_by_chain_and_an_accelerator_tries_block_masks(
    llava: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    attend_to_tries(OnAccelerator(llava.policy), said.append)  # fails: there is no GPU
    assert "flex_attention fails here" in said.pop()
    attend_to_tries(llava.policy, said.append)
    assert not said
    assert attention_of(llava.policy) == "trie"
    language_model(llava.policy).set_attn_implementation("sdpa")
    monkeypatch.setattr(attention_choice, "disagreement", AGREES)
    attend_to_tries(OnAccelerator(llava.policy), said.append)
    attend_alike(OnAccelerator(llava.reward), OnAccelerator(llava.policy))
    assert attention_of(llava.policy) == attention_of(llava.reward) == block_attention.NAME
    assert len(said) == 1


def test_a_model_saved_after_the_choice_names_no_attention(llava: Scene, tmp_path: Path) -> None:
    block_attention.see_blocks(llava.policy)
    llava.policy.config.save_pretrained(tmp_path)
    assert block_attention.NAME not in (tmp_path / "config.json").read_text()


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES + FURTHER)
def test_block_masks_agree_in_every_family_and_hold_several_pictures(
    family: str, tmp_path: Path
) -> None:
    scene = make_scene(family, tmp_path)
    rows = shapes(scene)["two pictures"] + shapes(scene)["many questions, many pictures"]
    engine = PackedEngine(scene.pictures, 0, 4096)
    expected = engine.response_log_probs(scene.policy, rows).values
    plain = scene.policy.model(input_ids=torch.tensor([[1, 2, 3]])).last_hidden_state
    block_attention.see_blocks(scene.policy)
    mask = attention_mask(scene.policy, torch.tensor([[3, 2, 3, 4]]))
    assert type(mask).__name__ == "BlockMask"
    found = engine.response_log_probs(scene.policy, rows).values
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    again = scene.policy.model(input_ids=torch.tensor([[1, 2, 3]])).last_hidden_state
    assert torch.equal(again, plain)  # what is not packed goes under sdpa as before
