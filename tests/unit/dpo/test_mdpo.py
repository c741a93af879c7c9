"""mDPO: its terms by hand, its pictures matched across classes, its row cheap when packed."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch.nn.functional import logsigmoid

from components.dpo.reference import answers
from components.dpo.training import pair_log_probs
from spavl.alignment.batching import packed_length, packed_passes
from spavl.alignment.contrast import ContrastedRows, contrasted, matched_pictures
from spavl.alignment.logprobs import PlainEngine
from spavl.alignment.losses import anchor_loss, picture_loss
from spavl.alignment.packed_engine import PackedEngine
from spavl.alignment.rows import PairRows, Row, Tokenised
from spavl.models.load import load_policy
from spavl.models.pictures import freeze_tower
from tests.unit.alignment.worlds import make_preference, make_tokeniser, make_world
from tests.unit.dpo.test_training import curves, run


def test_terms_worked_by_hand() -> None:
    rewards = torch.tensor([[2.0, 0.0], [5.0, 5.0], [1.0, 0.0]])
    # -log sigmoid(2 - 1) = 0.313262 and -log sigmoid(0) = log 2.
    assert float(picture_loss(rewards)) == pytest.approx((0.313262 + math.log(2)) / 2, abs=1e-6)
    # -log sigmoid(2) = 0.126928.
    assert float(anchor_loss(rewards)) == pytest.approx((0.126928 + math.log(2)) / 2, abs=1e-6)


def pair_of(number: int, image_id: str, truth: str) -> PairRows:
    preference = make_preference(number, image_id)
    object.__setattr__(preference, "class3", None)
    object.__setattr__(preference, "truth", truth)
    row = Row(image_id, (1, 2, 3), 2)
    return PairRows(preference, row, row)


def test_pictures_are_matched_two_and_two_across_classes_by_seed() -> None:
    pairs = [
        pair_of(n, f"{'ab'[n % 2]}{n % 10}", ("harmful", "harmless")[n % 2]) for n in range(40)
    ]
    found = matched_pictures(pairs, seed=1)
    assert found.keys() == {pair.preference.image_id for pair in pairs}
    assert all(found[other] == one and one[0] != other[0] for one, other in found.items())
    assert found == matched_pictures(pairs[::-1], seed=1)
    assert found != matched_pictures(pairs, seed=2)


def test_a_class_of_more_than_half_still_meets_others_and_one_class_meets_itself() -> None:
    pairs = [pair_of(n, f"a{n}", "harmful") for n in range(5)] + [pair_of(9, "b", "harmless")]
    found = matched_pictures(pairs, seed=0)
    assert {found[f"a{n}"] for n in range(5)} == {"b"}
    alike = matched_pictures(pairs[:5], seed=0)
    assert alike.keys() == {f"a{n}" for n in range(5)}
    assert all(one != other for one, other in alike.items())
    assert matched_pictures(pairs[:1], seed=0) == {}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    world = make_world(tmp_path_factory.mktemp("world"))
    tokeniser, pictures = make_tokeniser(world, 200)
    preferences = []
    for number, image_id in enumerate("ab" * 3):
        made = make_preference(number, image_id, f"What is this, {number // 2}?", "It is a lamp.")
        object.__setattr__(made, "class3", image_id)
        preferences.append(made)
    found = contrasted(tokeniser.pairs(preferences), tokeniser, seed=0)
    model, _ = load_policy(world.base.uri)
    freeze_tower(model)
    return found.pairs, model, pictures


def test_the_third_row_costs_its_question_and_answer(scene) -> None:  # type: ignore[no-untyped-def]
    pairs, _, _ = scene
    assert all(isinstance(pair, ContrastedRows) and pair.matched for pair in pairs)
    assert [len(part) for part in packed_passes(pairs, 4096)] == [6]
    without = packed_length(row for pair in pairs for row in (pair.chosen, pair.rejected))
    with_third = packed_length(row for pair in pairs for row in pair.rows)
    plain = sum(pair.contrast.length for pair in pairs)
    assert with_third - without < plain
    # Each question is on both pictures here, so the third rows are in the tries already.
    assert with_third == without


def test_gradients_are_those_of_the_terms_written_out(scene) -> None:  # type: ignore[no-untyped-def]
    pairs, model, pictures = scene
    reference = torch.linspace(-30, -20, 3 * len(pairs)).view(3, -1)
    found = pair_log_probs(PackedEngine(pictures, 0, 4096), model, pairs)
    rewards = 0.1 * (found - reference)
    loss = 0.7 * picture_loss(rewards) + 0.3 * anchor_loss(rewards)
    model.zero_grad()
    loss.backward()
    ours = {n: w.grad.clone() for n, w in model.named_parameters() if w.grad is not None}
    model.zero_grad()
    plain = PlainEngine(pictures, 0)
    total = torch.zeros(())
    for place, pair in enumerate(pairs):
        own, other = (
            0.1 * (plain.response_log_probs(model, [row]).sums()[0] - reference[kind, place])
            for kind, row in ((0, pair.chosen), (2, pair.contrast))
        )
        total = total - 0.7 * logsigmoid(own - other) - 0.3 * logsigmoid(own)
    (total / len(pairs)).backward()
    assert float(loss.detach()) == pytest.approx(float(total.detach()) / len(pairs), rel=1e-5)
    right = {n: w.grad for n, w in model.named_parameters() if w.grad is not None}
    one, two = (torch.cat([g[n].flatten() for n in right]) for g in (ours, right))
    assert (one - two).norm() <= 1e-4 * two.norm()
    assert len(answers(pairs)) == 18


def test_it_trains_from_the_sum_of_its_terms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = {"picture_weight": 1.0, "anchor_weight": 0.5}
    output = run(make_world(tmp_path), tmp_path, monkeypatch, **terms)
    logged = curves(output)
    assert logged[0]["loss"] == pytest.approx(2.5 * math.log(2), abs=1e-4)
    assert logged[-1]["loss"] < 0.7 * logged[0]["loss"]
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["pairs"] == {"train": 12, "validation": 6}


def test_a_pair_without_another_picture_is_left_out_and_counted(tmp_path: Path) -> None:
    tokeniser, _ = make_tokeniser(make_world(tmp_path))
    alone = tokeniser.pairs([make_preference(0, "a"), make_preference(1, "a", "Hm?")])
    found = contrasted(Tokenised(alone.pairs, {"too_long": 1}), tokeniser, seed=0)
    assert found.pairs == []
    assert found.dropped == {"too_long": 1, "no_other_picture": 2}
