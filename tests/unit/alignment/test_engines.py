"""Which engine is taken and why, and how pairs are cut into its passes."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spavl.alignment.batching import packed_passes
from spavl.alignment.engines import choose_engines, refusal
from spavl.alignment.kept_log_probs import KeptLogProbs
from spavl.alignment.packed_engine import PackedEngine, attention_mask
from spavl.alignment.rows import PairRows, Row
from spavl.alignment.tries import lay_out
from spavl.models.load import load_policy
from tests.unit.alignment.families import FAMILIES, Scene, make_scene, shapes
from tests.unit.alignment.worlds import make_preference


@dataclass(frozen=True)
class Choice:
    packing: Any = "auto"
    packed_tokens: int = 512


@pytest.fixture(scope="module", params=FAMILIES)
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(request.param, tmp_path_factory.mktemp("families"))


def test_a_model_that_takes_the_mask_is_packed_in_silence(scene: Scene) -> None:
    said: list[str] = []
    for model in (scene.policy, scene.reward):
        engines = choose_engines(model, scene.pictures, 0, Choice(), said.append)
        assert isinstance(engines.log_probs, PackedEngine)
        assert engines.told == {"name": "packed"}
    assert not said


def test_plain_by_setting_needs_no_excuse(scene: Scene) -> None:
    said: list[str] = []
    engines = choose_engines(scene.policy, scene.pictures, 0, Choice("plain"), said.append)
    assert engines.name == "plain"
    assert not said


def test_a_model_that_misreads_the_mask_is_scored_plainly_and_it_is_said_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    language_model = scene.policy.model.language_model
    forward = language_model.forward
    monkeypatch.setattr(
        language_model,
        "forward",
        lambda **inputs: forward(**{**inputs, "attention_mask": None}),  # as flash attention does
    )
    said: list[str] = []
    engines = choose_engines(scene.policy, scene.pictures, 0, Choice(), said.append)
    assert engines.told == {"name": "plain", "reason": "a mask of ancestors is misread"}
    assert len(said) == 1
    assert "misread" in said[0]


def test_a_model_that_refuses_the_mask_tells_why(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(**inputs: Any) -> Any:
        raise ValueError("only 2-D masks here\nand more")

    monkeypatch.setattr(scene.policy.model.language_model, "forward", refusing)
    assert refusal(scene.policy) == "a mask of ancestors is refused (only 2-D masks here)"


@torch.no_grad()
def test_a_model_folder_that_names_flex_attention_is_packed_under_block_masks(
    tmp_path: Path,
) -> None:
    scene = make_scene("llava", tmp_path)
    expected = PackedEngine(scene.pictures, 0, 512)
    config = tmp_path / "llava" / "config.json"
    content = json.loads(config.read_text()) | {"attn_implementation": "flex_attention"}
    config.write_text(json.dumps(content))
    model, _ = load_policy(tmp_path / "llava")
    said: list[str] = []
    engines = choose_engines(model, scene.pictures, 0, Choice(), said.append)
    assert engines.told == {"name": "packed"}
    assert not said
    assert type(attention_mask(model, torch.tensor([[3, 2, 3]]))).__name__ == "BlockMask"
    rows = shapes(scene)["many questions, many pictures"]
    torch.testing.assert_close(
        engines.log_probs.response_log_probs(model, rows).values,
        expected.response_log_probs(scene.policy, rows).values,
        atol=1e-5,
        rtol=0,
    )


def test_a_sliding_window_is_not_packed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene.policy.config.get_text_config(), "sliding_window", 64, raising=False)
    assert "sliding window" in refusal(scene.policy)
    assert "sliding window" in refusal(scene.policy, longest=65)
    assert refusal(scene.policy, longest=64) == ""  # no row is longer than it


def random_pairs(count: int = 60, seed: int = 0) -> list[PairRows]:
    chance = random.Random(seed)
    pairs = []
    for number in range(count):
        image_id = str(number % 9)
        prompt = [9, 9, 9, 1 + number % 3, 4]
        rows = [
            Row(image_id, (*prompt, *(chance.randint(1, 3) for _ in range(length))), len(prompt))
            for length in (chance.randint(1, 9), chance.randint(1, 9))
        ]
        pairs.append(PairRows(make_preference(number, image_id), *rows))
    return pairs


def trie_length(pairs: list[PairRows]) -> int:
    paths = [
        np.array([int(row.image_id) + 100, *row.token_ids])  # pictures keep their tries apart
        for pair in pairs
        for row in (pair.chosen, pair.rejected)
    ]
    trie = lay_out(paths)
    return trie.length - len({row.preference.image_id for row in pairs})


def test_passes_hold_every_pair_once_and_are_filled_close_to_the_budget() -> None:
    pairs = random_pairs()
    passes = packed_passes(pairs, 120)
    ids = [pair.preference.preference_id for part in passes for pair in part]
    assert sorted(ids) == sorted(pair.preference.preference_id for pair in pairs)
    lengths = [trie_length(part) for part in passes]
    assert max(lengths) <= 120
    assert sum(lengths[:-1]) / len(lengths[:-1]) > 0.8 * 120


def test_a_picture_is_cut_only_where_it_does_not_fit() -> None:
    passes = packed_passes(random_pairs(), 120)
    for image_id in map(str, range(9)):
        holding = [part for part in passes if any(p.chosen.image_id == image_id for p in part)]
        assert len(holding) <= 2


def test_passes_do_not_depend_on_the_order_of_the_pairs() -> None:
    pairs = random_pairs()
    assert packed_passes(pairs, 120) == packed_passes(pairs[::-1], 120)


def test_a_pair_over_the_budget_has_a_pass_of_its_own() -> None:
    assert [len(part) for part in packed_passes(random_pairs(6), 1)] == [1] * 6


def test_kept_log_probs_are_found_again_by_tokens_pictures_and_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path))
    row, other = Row("a", (1, 2, 3), 1), Row("a", (1, 2, 4), 1)
    kept = KeptLogProbs("weights", "float32", {"size": 16})
    kept.add([row, other], torch.tensor([-1.25, -2.5]))
    kept.flush()
    again = KeptLogProbs("weights", "float32", {"size": 16})
    assert again.of([other, row, other]).tolist() == [-2.5, -1.25, -2.5]
    assert Row("b", (1, 2, 3), 1) not in again
    assert Row("a", (1, 2, 3), 2) not in again
    assert Row("a", (1, 2, 3), 1, ("b",)) not in again
    for changed in (
        KeptLogProbs("others", "float32", {"size": 16}),
        KeptLogProbs("weights", "bfloat16", {"size": 16}),
        KeptLogProbs("weights", "float32", {"size": 32}),
    ):
        assert row not in changed


def test_an_interrupted_write_leaves_nothing_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path))
    kept = KeptLogProbs("weights", "float32", {})
    kept.add([Row("a", (1, 2), 1)], torch.tensor([-1.0]))
    kept.flush()
    written = next(tmp_path.rglob("*.safetensors"))
    written.rename(written.with_suffix(".unfinished"))
    assert Row("a", (1, 2), 1) not in KeptLogProbs("weights", "float32", {})


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, None], ids=["empty", "zeros", "cut"])
def test_a_damaged_file_counts_as_lost_and_is_written_anew(
    damage: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a machine that lost its power may leave it; runs side by side may write the same."""
    monkeypatch.setenv("SPAVL_WORK_ROOT", str(tmp_path))
    row = Row("a", (1, 2), 1)

    def keep() -> Path:
        one, other = (KeptLogProbs("weights", "float32", {}) for _ in range(2))
        for kept in (one, other):
            kept.add([row], torch.tensor([-1.0]))
            kept.flush()
        return next(tmp_path.rglob("*.safetensors"))

    written = keep()
    whole = written.read_bytes()
    written.write_bytes(whole[:-2] if damage is None else damage)
    assert row not in KeptLogProbs("weights", "float32", {})
    assert keep() == written
    assert KeptLogProbs("weights", "float32", {}).of([row]).tolist() == [-1.0]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [written]
