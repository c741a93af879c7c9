"""Packed equals plain: log-probs, entropies, rewards, values and gradients, for both families."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from benchmarks.llava_world import (
    RandomPictures,
    Shape,
    make_examples,
    make_model,
    make_processor,
    pair_rows,
)
from spavl.alignment import trie_attention
from spavl.alignment.attention_choice import choose_attention
from spavl.alignment.logprobs import PlainEngine
from spavl.alignment.packed_engine import PackedEngine, attention_mask
from spavl.alignment.rewards import RewardEngine
from spavl.alignment.rows import Row
from spavl.models.pictures import Pictures, freeze_tower
from tests.unit.alignment.families import FAMILIES, NAMES, Scene, make_scene, shapes
from tests.unit.models.tiny import PictureBook

NARROW = 60  # tokens of a packed row: few of the rows fit together


@pytest.fixture(scope="module", params=FAMILIES)
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    found = make_scene(request.param, tmp_path_factory.mktemp("families"))
    freeze_tower(found.policy)
    freeze_tower(found.reward)
    return found


def gradients(model: Any, loss: torch.Tensor) -> torch.Tensor:
    """All gradients of a loss in one vector."""
    model.zero_grad()
    loss.backward()
    weights = [weight for weight in model.parameters() if weight.grad is not None]
    return torch.cat([weight.grad.flatten() for weight in weights])


def weighted(values: torch.Tensor) -> torch.Tensor:
    """A loss in which every value counts differently."""
    return (values * torch.linspace(-1, 1, values.numel()).view_as(values)).sum()


def assert_same(
    model: Any, plain: Callable[[], torch.Tensor], packed: Callable[[], torch.Tensor]
) -> None:
    expected, found = plain(), packed()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    right, ours = gradients(model, weighted(expected)), gradients(model, weighted(found))
    assert (ours - right).norm() <= 1e-4 * right.norm()
    assert right.norm() > 0


@pytest.mark.parametrize("tokens", [4096, NARROW])
@pytest.mark.parametrize("shape", NAMES)
def test_log_probs_and_their_gradients(scene: Scene, shape: str, tokens: int) -> None:
    rows = shapes(scene)[shape]
    plain, packed = PlainEngine(scene.pictures, 0), PackedEngine(scene.pictures, 0, tokens)
    assert_same(
        scene.policy,
        lambda: plain.response_log_probs(scene.policy, rows).values,
        lambda: packed.response_log_probs(scene.policy, rows).values,
    )


@pytest.mark.parametrize("shape", NAMES)
def test_chain_by_chain_instead_of_under_a_dense_mask(
    scene: Scene, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trie_attention, "LEAST_GAIN", 0.0)  # wherever it could
    rows = shapes(scene)[shape]
    plain, packed = PlainEngine(scene.pictures, 0), PackedEngine(scene.pictures, 0, 4096)
    expected = plain.response_log_probs(scene.policy, rows).values
    trie_attention.see_tries(scene.policy)
    try:
        assert attention_mask(scene.policy, torch.tensor([[2, 2]])).dtype == torch.int64
        assert_same(
            scene.policy,
            lambda: expected,
            lambda: packed.response_log_probs(scene.policy, rows).values,
        )
        as_before = plain.response_log_probs(scene.policy, rows).values
    finally:
        scene.policy.model.language_model.set_attn_implementation("sdpa")
    assert torch.equal(as_before, expected)


@pytest.mark.parametrize("shape", NAMES)
def test_rewards_and_values_and_their_gradients(scene: Scene, shape: str) -> None:
    rows = shapes(scene)[shape]
    plain, packed = RewardEngine(scene.pictures, 0), PackedEngine(scene.pictures, 0, 4096)
    for score in ("rewards", "values"):
        assert_same(
            scene.reward,
            lambda name=score: getattr(plain, name)(scene.reward, rows),
            lambda name=score: getattr(packed, name)(scene.reward, rows),
        )


class Sizes:
    """Pictures of several sizes, by name; a grid of its own for each in Qwen2.5-VL."""

    def open(self, image_id: str) -> Any:
        size = {"a": (16, 16), "b": (24, 40), "c": (32, 16)}[image_id]
        return PictureBook(32).open(image_id).resize(size)


@pytest.mark.parametrize("tokens", [4096, NARROW])
def test_pictures_of_several_sizes(tmp_path: Path, tokens: int) -> None:
    scene = make_scene("qwen2_5_vl", tmp_path, Sizes())
    freeze_tower(scene.policy)
    assert [scene.pictures.tokens(name) for name in "abc"] == [4, 15, 8]
    rows = shapes(scene)["two pictures"] + shapes(scene)["many questions, many pictures"]
    plain, packed = PlainEngine(scene.pictures, 0), PackedEngine(scene.pictures, 0, tokens)
    assert_same(
        scene.policy,
        lambda: plain.response_log_probs(scene.policy, rows).values,
        lambda: packed.response_log_probs(scene.policy, rows).values,
    )


def random_rows(chance: random.Random, scene: Scene) -> list[Row]:
    """Rows that part anywhere: in front of the picture, after it, within the answer."""
    placeholder = scene.tokeniser.row("a", scene.picture, scene.picture).token_ids[:-1]

    def words(most: int) -> tuple[int, ...]:
        return tuple(chance.randint(5, 6) for _ in range(chance.randint(0, most)))

    rows = []
    for _ in range(chance.randint(1, 8)):
        pictures = chance.choice(["a", "b", "ab"])
        prompt = (1, *words(2))
        for _picture in pictures:
            prompt += (*placeholder, *words(2))
        answer = (*words(4), 2)
        rows.append(Row(pictures[0], prompt + answer, len(prompt), tuple(pictures[1:])))
    return rows


@settings(max_examples=25, deadline=None)
@given(seed=some.integers(0, 10**6), tokens=some.sampled_from([30, 70, 4096]))
def test_any_rows_at_all(scene: Scene, seed: int, tokens: int) -> None:
    rows = random_rows(random.Random(seed), scene)
    plain, packed = PlainEngine(scene.pictures, 0), PackedEngine(scene.pictures, 0, tokens)
    with torch.no_grad():
        torch.testing.assert_close(
            packed.response_log_probs(scene.policy, rows).values,
            plain.response_log_probs(scene.policy, rows).values,
            atol=1e-5,
            rtol=0,
        )
        torch.testing.assert_close(
            packed.rewards(scene.reward, rows),
            RewardEngine(scene.pictures, 0).rewards(scene.reward, rows),
            atol=1e-5,
            rtol=0,
        )


@torch.no_grad()
def test_temperature_and_entropy(scene: Scene) -> None:
    rows = shapes(scene)["many questions, many pictures"]
    plain, packed = (
        engine.response_log_probs(scene.policy, rows, temperature=2.0)
        for engine in (PlainEngine(scene.pictures, 0), PackedEngine(scene.pictures, 0, 4096))
    )
    assert torch.equal(plain.mask, packed.mask)
    torch.testing.assert_close(packed.values, plain.values, atol=1e-5, rtol=0)
    torch.testing.assert_close(packed.entropy, plain.entropy, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_eager_attention_gets_the_additive_mask_it_needs(scene: Scene) -> None:
    rows = shapes(scene)["two pictures"]
    engine = PackedEngine(scene.pictures, 0, 4096)
    expected = engine.response_log_probs(scene.policy, rows).values
    scene.policy.set_attn_implementation("eager")
    try:
        found = engine.response_log_probs(scene.policy, rows).values
    finally:
        scene.policy.set_attn_implementation("sdpa")
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.gpu
def test_flex_attention_gradients_agree_with_sdpa() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU: flex_attention has no backward pass on the CPU")
    said: list[str] = []
    difference, size = difference_of_gradients(
        "cuda", lambda model: choose_attention(model, said.append)
    )
    assert said == ["packed rows attend by flex_attention: on a small trie it agrees with sdpa"]
    assert difference <= 1e-3 * size


def test_what_compares_gradients_of_two_attentions_works_where_there_is_no_gpu() -> None:
    difference, size = difference_of_gradients(
        "cpu", lambda model: model.model.language_model.set_attn_implementation("eager")
    )
    assert 0 < difference <= 1e-4 * size


def difference_of_gradients(device: str, take: Callable[[Any], None]) -> tuple[float, float]:
    """Norms: how far packed gradients under another attention lie from sdpa's, and of sdpa's."""
    # Heads of 16: flex_attention's kernel takes none that are narrower.
    shape = Shape(picture_tokens=16, text_tokens=8, answer_tokens=(3, 9), hidden=128, layers=2)
    processor = make_processor(shape)
    model = make_model(shape, processor).to(device)
    freeze_tower(model)
    pictures = Pictures(model, processor, RandomPictures(shape.side))
    examples = make_examples(shape, 1)[0]
    pictures.read(example.image_id for example in examples)
    pairs = [pair_rows(processor, pictures, example) for example in examples]
    rows = [row for pair in pairs for row in pair.rows]
    engine = PackedEngine(pictures, 0, 4096)

    def found() -> torch.Tensor:
        return gradients(model, weighted(engine.response_log_probs(model, rows).values))

    right = found()
    take(model)
    return float((found() - right).norm()), float(right.norm())
