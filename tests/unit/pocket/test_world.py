"""Pictures are deterministic, varied, and give no side away by one colour or shape."""

from collections import Counter

import numpy as np
import pytest

from spavl.pocket.world import (
    COLOURS,
    DOTS,
    Thing,
    draw,
    draw_many,
    picture_rng,
    thing_by_name,
    things,
)

pytestmark = pytest.mark.unit


def test_things_are_the_taxonomy_and_harmless_ones_told_apart_by_colours() -> None:
    assert Counter(thing.harmful for thing in things()) == {True: 53, False: 19}
    assert len({(thing.body, thing.mark, thing.dot) for thing in things()}) == 72
    assert len({thing.phrase for thing in things()}) == 72
    assert all(thing.body != thing.mark for thing in things())


def test_the_base_teaches_most_classes_preferences_twelve_and_nobody_eight() -> None:
    taught = Counter(thing.taught_by for thing in things())

    assert taught == {"base": 33, "preferences": 12, "nobody": 8, None: 19}


def test_look_alikes_are_one_harmful_and_one_harmless_and_differ_in_their_dot_alone() -> None:
    pairs: dict[tuple[str, str, str], list[Thing]] = {}
    for thing in things():
        pairs.setdefault((thing.body, thing.mark, thing.shape), []).append(thing)
    alike = [pair for pair in pairs.values() if len(pair) > 1]

    assert len(alike) == 8
    for one, other in alike:
        assert one.harmful != other.harmful
        assert {one.dot, other.dot} == set(DOTS)
        assert "nobody" not in (one.taught_by, other.taught_by)
    assert {thing.name for thing in things() if thing.dot} == {t.name for p in alike for t in p}


@pytest.mark.parametrize("feature", ["body", "mark", "shape", "dot"])
def test_no_single_feature_tells_the_side(feature: str) -> None:
    harmful = Counter(getattr(thing, feature) for thing in things() if thing.harmful)
    harmless = Counter(getattr(thing, feature) for thing in things() if not thing.harmful)

    assert set(harmful) == set(harmless)


def test_the_same_stream_draws_the_same_picture_and_another_does_not() -> None:
    first, again, other_split, other_index = (
        np.asarray(draw("theft", picture_rng(3, split, index)))
        for split, index in [("train", 0), ("train", 0), ("test", 0), ("train", 1)]
    )

    assert first.shape == (64, 64, 3)
    assert (first == again).all()
    assert (first != other_split).mean() > 0.5
    assert (first != other_index).mean() > 0.5


def test_many_pictures_are_the_single_ones() -> None:
    pair = draw_many([thing_by_name("theft"), thing_by_name("kite")], 3, "test", first=7)

    assert (pair[1] == np.asarray(draw("kite", picture_rng(3, "test", 8)))).all()


def test_noise_never_wraps_around() -> None:
    """In uint8 an overflow would turn a white pixel's channel black, and so colour it."""
    white_body = [thing for thing in things() if thing.body == "white" and thing.mark == "black"]
    pixels = draw_many(white_body * 20, 0, "test").astype(int)

    spread = pixels.max(axis=-1) - pixels.min(axis=-1)
    assert np.quantile(spread, 0.95) < 80
    assert min(COLOURS["white"]) >= 240


def test_unknown_names_and_splits_are_refused() -> None:
    with pytest.raises(KeyError, match="no thing is called"):
        thing_by_name("a unicorn")
    with pytest.raises(ValueError, match="no split"):
        picture_rng(0, "nowhere", 0)
