"""The simulation of coverage: its worlds are what they say, and it asks what figures ask."""

import json

import numpy as np
import pytest

from benchmarks.coverage import FIGURES, KINDS, RATES, SIZES, run, table
from benchmarks.coverage_world import World
from spavl.statistics import clustered_rate, paired_difference


def test_coverage_is_told_of_every_cell_with_a_width_held_against_published_ones() -> None:
    found = run(draws=200, seed=1, more=False)
    assert len(found["cells"]) == len(FIGURES) * len(KINDS) * len(SIZES) * len(RATES)
    assert found["least_coverage"] > 0.88  # 0.93 less three standard deviations of 200 draws
    ratios = [cell["width_ratio"] for cell in found["cells"] if cell["width_ratio"] is not None]
    assert len(ratios) == 4 * 9
    assert 0.85 < min(ratios) <= max(ratios) < 1.15
    assert len(table(found).splitlines()) == 2 + len(found["cells"]) // len(RATES)
    json.dumps(found)


@pytest.mark.parametrize("kind", ["latent", "copied", "copied both"])
def test_the_simulation_asks_what_figures_ask(kind: str) -> None:
    world, rate = World(kind, 50, 1), 0.3
    drawn = world.uniforms(np.random.default_rng(4))[0]
    one = FIGURES["rate"](world, rate, np.random.default_rng(4))
    alone = clustered_rate((drawn < rate).astype(float).tolist(), world.clusters)
    assert (one.low[0], one.high[0]) == (pytest.approx(alone.low), pytest.approx(alone.high))
    both = FIGURES["difference, both ways"](world, rate, np.random.default_rng(4))
    first, second = (drawn > 0.85).astype(float), (drawn < 0.15).astype(float)
    pair = paired_difference(first.tolist(), second.tolist(), world.clusters)
    assert (both.low[0], both.high[0]) == (pytest.approx(pair.low), pytest.approx(pair.high))


@pytest.mark.parametrize(("kind", "expected"), [("copied", 0.3), ("copied both", 0.15)])
def test_drawn_outcomes_are_as_alike_within_pictures_as_said(kind: str, expected: float) -> None:
    world = World(kind, 100, 4000)
    outcomes = world.uniforms(np.random.default_rng(6)) < 0.3
    pictures, texts = world.places
    alike = [
        np.corrcoef(outcomes[:, i], outcomes[:, j])[0, 1]
        for i in range(20)
        for j in range(i)
        if pictures[i] == pictures[j] and texts[i] != texts[j]
    ]
    assert np.mean(alike) == pytest.approx(expected, abs=0.03)
