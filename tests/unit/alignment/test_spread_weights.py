"""Which weights ZeRO's stage 3 spreads over the processes."""

from pathlib import Path

import pytest

from spavl.alignment.spread_weights import is_spread, spread_layers, whole_weights
from spavl.models.adapters import AdaptedModel, AdapterShape
from tests.unit.alignment.families import FAMILIES, make_scene

LINEAR = 7  # of a decoder layer: q, k, v, o, gate, up, down


@pytest.mark.parametrize("family", FAMILIES)
def test_all_linear_layers_of_the_language_model_are_spread_and_nothing_else(
    family: str, tmp_path: Path
) -> None:
    scene = make_scene(family, tmp_path)
    for model in (scene.policy, scene.reward):
        layers = spread_layers(model)
        decoder = model.model.language_model.layers
        assert len(layers) == LINEAR * len(decoder)
        assert {id(layer) for layer in layers} <= {id(module) for module in decoder.modules()}


def test_adapters_stay_whole(tmp_path: Path) -> None:
    policy = make_scene(FAMILIES[0], tmp_path).policy
    before = spread_layers(policy)
    AdaptedModel(policy).add("policy", AdapterShape(2, 4, 0.0, ("q_proj",), True))
    assert [id(layer) for layer in spread_layers(policy)] == [id(layer) for layer in before]


def test_weights_that_nobody_spread_are_whole(tmp_path: Path) -> None:
    policy = make_scene(FAMILIES[0], tmp_path).policy
    assert not is_spread(policy)
    with whole_weights(policy):
        assert all(weight.numel() for weight in policy.parameters())
