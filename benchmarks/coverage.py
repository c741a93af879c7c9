"""How often intervals hold the truth, and how wide they are, in simulations of known truth.

Every cell draws samples of one size and rate and asks the project's own estimators, many samples at
once. Widths of independent cells are held against Clopper and Pearson's interval for rates, and
against Tango's for differences and win rates.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from benchmarks.coverage_world import KINDS, World
from spavl.statistics import CONFIDENCE
from spavl.statistics.clusters import design_of, effective_size
from spavl.statistics.differences import tango_interval
from spavl.statistics.kappa import contributions, kappa_interval
from spavl.statistics.rates import binomial_interval

Array = NDArray[np.float64]
SIZES, RATES = (20, 50, 532), (0.0, 0.01, 0.3)
MORE_SIZES, MORE_RATES = (30, 100, 250), (0.05, 0.5, 0.99)
LABELLED = 0.3
"""Share of items that each of two judges labels yes."""
LEAST, MOST, WIDEST = 0.93, 0.97, 1.15


@dataclass(frozen=True)
class Found:
    """Intervals of many samples, the truth, and the width of the interval they are held against."""

    low: Array
    high: Array
    truth: float
    reference: Array | None = None


def run(draws: int, seed: int, more: bool) -> dict[str, Any]:
    """Simulate all cells.

    Args:
        draws: Samples a cell.
        seed: Seed of all.
        more: Also sizes and rates beside the named ones.
    """
    cells = list(_cells(draws, np.random.default_rng(seed), more))
    return {
        "draws": draws,
        "seed": seed,
        "confidence": CONFIDENCE,
        "least_coverage": min(cell["coverage"] for cell in cells),
        "failed": [cell for cell in cells if not cell["held"]],
        "cells": cells,
    }


def _cells(draws: int, rng: np.random.Generator, more: bool) -> Iterator[dict[str, Any]]:
    sizes = sorted(SIZES + MORE_SIZES) if more else SIZES
    rates = sorted(RATES + MORE_RATES) if more else RATES
    for figure, intervals in FIGURES.items():
        for kind in KINDS:
            for n in sizes:
                for rate in rates:
                    if figure != "kappa" or rate <= MOST_DISAGREEMENT:
                        found = intervals(World(kind, n, draws), rate, rng)
                        yield {"figure": figure, "items": kind, **_told(n, rate, kind, found)}


def _told(n: int, rate: float, kind: str, found: Found) -> dict[str, Any]:
    """Coverage and mean width of a cell, and whether both are as they should be.

    Coverage may be too high at the smallest size and where outcomes are rare: those are discrete.
    """
    known = ~np.isnan(found.low)
    low, high = found.low[known], found.high[known]
    inside = (low <= found.truth + 1e-12) & (found.truth - 1e-12 <= high)
    coverage, width = float(inside.mean()), float((high - low).mean())
    ratio = None
    if kind == "independent" and found.reference is not None:
        ratio = width / float(found.reference.mean())
    bounded = rate == max(RATES) and n in SIZES and n > min(SIZES)
    held = (
        coverage >= LEAST
        and (coverage <= MOST or not bounded)
        and (ratio is None or ratio <= WIDEST)
    )
    without = int((~known).sum())
    return {
        "n": n, "rate": rate, "coverage": coverage, "width": width, "width_ratio": ratio,
        "without_value": without, "held": held,
    }  # fmt: skip


def rates(world: World, rate: float, rng: np.random.Generator) -> Found:
    """Shares of yes."""
    scores = (world.uniforms(rng) < rate) * 1.0
    size = effective_size(scores, design_of(world.clusters, world.n))
    low, high = binomial_interval(scores.mean(axis=1) * size, size, CONFIDENCE)
    exact = clopper_pearson(scores.sum(axis=1), world.n)
    return Found(low, high, rate, exact[1] - exact[0])


def differences(up: float, down: float) -> Callable[[World, float, np.random.Generator], Found]:
    """Paired differences of which shares of the rate go up, and down."""

    def found(world: World, rate: float, rng: np.random.Generator) -> Found:
        drawn = world.uniforms(rng)
        changes = (drawn < up * rate) * 1.0 - (drawn > 1 - down * rate)
        size = effective_size(changes, design_of(world.clusters, world.n))
        share = size / world.n
        rises, falls = (changes > 0).sum(axis=1), (changes < 0).sum(axis=1)
        low, high = tango_interval(rises * share, falls * share, size, CONFIDENCE)
        plain = tango_interval(rises * 1.0, falls * 1.0, np.full_like(size, world.n), CONFIDENCE)
        return Found(low, high, (up - down) * rate, plain[1] - plain[0])

    return found


def win_rates(world: World, rate: float, rng: np.random.Generator) -> Found:
    """Wins are two thirds of the rate, losses one third, ties the rest."""
    found = differences(2 / 3, 1 / 3)(world, rate, rng)
    reference = None if found.reference is None else found.reference / 2
    return Found((1 + found.low) / 2, (1 + found.high) / 2, (1 + found.truth) / 2, reference)


MOST_DISAGREEMENT = 2 * LABELLED
"""Above it two judges cannot both label that share of items yes."""


def kappas(world: World, rate: float, rng: np.random.Generator) -> Found:
    """Two judges that label as many items yes and disagree on a share of them."""
    first = world.uniforms(rng) < LABELLED
    flips = np.where(first, rate / 2 / LABELLED, rate / 2 / (1 - LABELLED))
    second = first ^ (world.uniforms(rng) < flips)
    tables = np.stack(
        [((first == a) & (second == b)).sum(axis=1) for a in (False, True) for b in (False, True)],
        axis=1,
    ).reshape(-1, 2, 2)
    weight = contributions(tables * 1.0).reshape(-1, 4)
    values = np.take_along_axis(weight, first * 2 + second * 1, axis=1)
    size = effective_size(values, design_of(world.clusters, world.n))
    _, low, high = kappa_interval(tables * 1.0, size, CONFIDENCE)
    return Found(low, high, 1 - rate / (2 * LABELLED * (1 - LABELLED)))


FIGURES: dict[str, Callable[[World, float, np.random.Generator], Found]] = {
    "rate": rates,
    "difference, one way": differences(1.0, 0.0),
    "difference, both ways": differences(0.5, 0.5),
    "win rate": win_rates,
    "kappa": kappas,
}


def clopper_pearson(hits: Array, n: int) -> tuple[Array, Array]:
    """Clopper and Pearson's bounds (1934)."""
    tail = (1 - CONFIDENCE) / 2
    low = np.where(hits == 0, 0.0, betaincinv(np.maximum(hits, 0.5), n - hits + 1, tail))
    high = np.where(hits == n, 1.0, betaincinv(hits + 1, np.maximum(n - hits, 0.5), 1 - tail))
    return low, high


def table(found: dict[str, Any]) -> str:
    """All cells as a Markdown table, a row a figure, kind and size."""
    every = sorted({cell["rate"] for cell in found["cells"]})
    lines = [
        "| figure | items | n | " + " | ".join(f"rate {rate:g}" for rate in every) + " |",
        "|---|---|---|" + "---|" * len(every),
    ]
    rows: dict[tuple[str, str, int], dict[float, str]] = {}
    for cell in found["cells"]:
        ratio = "" if cell["width_ratio"] is None else f" ({cell['width_ratio']:.2f})"
        text = f"{cell['coverage']:.3f}, {cell['width']:.3f}{ratio}"
        rows.setdefault((cell["figure"], cell["items"], cell["n"]), {})[cell["rate"]] = text
    for (figure, items, n), told in rows.items():
        lines.append(f"| {figure} | {items} | {n} | {' | '.join(told.get(r, '') for r in every)} |")
    return "\n".join(lines)
