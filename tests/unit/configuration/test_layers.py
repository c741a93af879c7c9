"""Layers: the later wins, at every depth, and every value remembers who gave it."""

from typing import Any

import pytest

from components.configuration.layers import given, merge, origins, plain
from spavl.errors import InputError


def merged(*layers: Any) -> Any:
    tree: Any = {}
    for number, layer in enumerate(layers):
        tree = merge(tree, given(layer, f"layer {number}"))
    return tree


@pytest.mark.parametrize(
    ("layers", "result"),
    [
        (({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}), {"a": {"x": 1, "y": 3}}),
        (({"a": [1, 2]}, {"a": [3]}), {"a": [3]}),
        (({"a": {"x": 1}}, {"a": None}), {"a": {"x": 1}}),
        (({"a": {"x": 1}}, {"a": {"x": None}}), {"a": {"x": None}}),
        (({"a": {"x": None}}, {"a": {"x": {"y": 1}}}), {"a": {"x": {"y": 1}}}),
        (({"a": [{"id": "p", "x": 1}]}, {"a": {"p": {"x": 2}}}), {"a": [{"id": "p", "x": 2}]}),
        (({"a": [{"x": 1}, {"x": 2}]}, {"a": {"1": {"x": 3}}}), {"a": [{"x": 1}, {"x": 3}]}),
        (({"a": [{"x": 1}, {"x": 2}]}, {"a": {"*": {"x": 3}}}), {"a": [{"x": 3}, {"x": 3}]}),
        (({"m": {"backend": "p", "x": 1}}, {"m": {"backend": "q"}}), {"m": {"backend": "q"}}),
        (
            ({"m": {"backend": "p", "x": 1}}, {"m": {"backend": "p", "y": 2}}),
            {"m": {"backend": "p", "x": 1, "y": 2}},
        ),
    ],
)
def test_layers_merge(layers: tuple[Any, ...], result: Any) -> None:
    assert plain(merged(*layers)) == result


def test_every_value_remembers_who_gave_it() -> None:
    tree = merged(
        {"dpo": {"beta": 0.1, "seed": 1}, "r": [{"id": "p", "x": 1}, {"id": "q", "x": 1}]},
        {"dpo": {"beta": 0.2}, "r": {"q": {"x": 2}}, "flags": ["a", "b"]},
    )
    assert dict(origins(tree)) == {
        "dpo.beta": "layer 1",
        "dpo.seed": "layer 0",
        "r.p.id": "layer 0",
        "r.p.x": "layer 0",
        "r.q.id": "layer 0",
        "r.q.x": "layer 1",
        "flags": "layer 1",
    }


def test_merging_leaves_both_layers_as_they_were() -> None:
    lower, upper = given({"a": {"x": [1]}}, "lower"), given({"a": {"x": [2], "y": 3}}, "upper")
    merge(lower, upper)
    assert plain(lower) == {"a": {"x": [1]}}
    assert plain(upper) == {"a": {"x": [2], "y": 3}}


@pytest.mark.parametrize(
    ("upper", "message"),
    [
        ({"r": {"pp": {"x": 2}}}, "unknown item (r.pp): did you mean r.p?"),
        ({"r": {"p": {"x": {"y": 2}}}}, "a key below a plain value (r.p.x.y): r.p.x holds no keys"),
    ],
)
def test_a_key_that_leads_nowhere_is_named(upper: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        merged({"r": [{"id": "p", "x": 1}]}, upper)
    assert str(caught.value) == message
