"""Outcome: figures of every point, curves by axis, and what became of each hypothesis.

Out: `<axis>.json` for every axis, in the form that the report draws:

    {"axis": "pairs trained on", "data": {...}, "plan": "<digest>",
     "points": [{"x": 100, "seed": 1, "model": "dpo", "variant": "pairs-100", "figures": {...}}],
     "variants": [{"variant": "pairs-100", "x": 100, "figures": {"harm_eval_usr": {...}}}],
     "hypotheses": [{"id": ..., "says": ..., "outcome": "supported", "comparisons": [...]}]}

A variant's figure is the mean over its seeds, with an interval over seeds and items.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.ablation.plan import BASE, Axis, Comparison, Hypothesis, Plan, read_plan
from components.ablation.testing import (
    Evidence,
    Mean,
    Verdict,
    difference,
    evidence,
    joined,
    seeded_mean,
    verdicts,
)
from spavl.digests import json_digest
from spavl.environment import run_folder
from spavl.errors import InputError
from spavl.points import Point
from spavl.records import EvalItem, EvalVerdict
from spavl.shards import read_rows, write_json
from spavl.storage import local_copy
from spavl.work import Stage, Work, run_stage

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = "ablations"
Scores = dict[str, dict[str, dict[str, float]]]
"""By figure, point and item."""


def conclude(
    plan: str,
    axes: Sequence[str],
    points: Mapping[str, Point],
    figures: str,
    benchmarks: str,
    output: str,
) -> dict[str, str]:
    """Writes the outcome of a plan; in a run, also into the run's folder.

    Args:
        plan: A plan's name, file or text.
        axes: Axes to keep; all where none is named.
        points: Every point by id.
        figures: Folder with `figures.json` and `verdicts/`.
        benchmarks: Address of the benchmarks.
        output: Output folder.

    Returns:
        Outcome of every hypothesis by its id.
    """
    checked = read_plan(plan, axes)
    found = json.loads((Path(figures) / "figures.json").read_text())
    told = {
        "plan": checked.model_dump(mode="json"),
        "points": {name: asdict(point) for name, point in points.items()},
    }
    inputs = {"figures": json_digest(found)}
    stage = Stage("outcome", __name__, told, inputs)

    def body(work: Work) -> dict[str, Any]:
        return _conclude(work, checked, points, found, scores_of(figures, benchmarks, found))

    result = run_stage(stage, body, {FOLDER: output})
    if (folder := run_folder()) is not None:
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        for file in sorted(Path(output).glob("*.json")):
            write_json(folder / FOLDER / file.name, json.loads(file.read_text()))
    return dict(result["hypotheses"])


def scores_of(figures: str, benchmarks: str, found: Mapping[str, Any]) -> Scores:
    """What every item adds to every figure, from the verdicts; without verdict, nothing."""
    items = read_rows(local_copy(benchmarks) / "items", EvalItem, ["item_id", "kind"])
    kinds = {row["item_id"]: row["kind"] for row in items}
    scores: Scores = {key: {} for key in found["made_of"]}
    columns = ["item_id", "model", "benchmark", "outcome", "score"]
    for row in read_rows(Path(figures) / "verdicts", EvalVerdict, columns):
        for key, made in found["made_of"].items():
            of = made["benchmark"] == row["benchmark"] and made["kind"] in (
                None,
                kinds[row["item_id"]],
            )
            if of and row["score"] is not None:
                counted = made["outcomes"] is None or row["outcome"] in made["outcomes"]
                score = row["score"] if made["outcomes"] is None else float(counted)
                scores[key].setdefault(row["model"], {})[row["item_id"]] = score
    return scores


def table_of(
    scores: Mapping[str, Mapping[str, float]], names: Sequence[str], items: Sequence[str]
) -> "NDArray[Any]":
    """Scores of some points as float `[points, items]`."""
    import numpy as np

    return np.array([[scores[name][item] for item in items] for name in names])


def compared(
    comparison: Comparison, scores: Scores, names: Mapping[str, Sequence[str]]
) -> tuple[Mean, list[float]]:
    """The difference of two variants, and that of every seed.

    Args:
        comparison: What is compared.
        scores: Scores by figure, point and item.
        names: Points of every variant, seed by seed; what has no seeds has one.

    Raises:
        InputError: If nothing was scored for the figure.
    """
    sides = [names[comparison.variant], names[comparison.than]]
    mine = scores.get(comparison.figure, {})
    asked = [mine.get(name, {}).keys() for side in sides for name in side]
    items = sorted(set.intersection(*map(set, asked)))
    if len(items) < 2:
        raise InputError(
            f"no items of {comparison.figure}", "hypotheses", "name a figure that is made"
        )
    first, second = (table_of(mine, side, items) for side in sides)
    return difference(first, second), (first - second).mean(axis=1).tolist()


def _conclude(
    work: Work, plan: Plan, points: Mapping[str, Point], found: Mapping[str, Any], scores: Scores
) -> dict[str, Any]:
    names: dict[str, list[str]] = {}
    for name, point in sorted(points.items(), key=lambda pair: pair[1].seed):
        names.setdefault(point.variant, []).append(name)
    tested = tested_hypotheses(plan.hypotheses, scores, names)
    folder = work.folder / FOLDER
    folder.mkdir(exist_ok=True)
    means: dict[str, dict[str, float]] = {}
    for name, axis in plan.axes.items():
        variants = list(_variants(axis, points, names, scores))
        means |= {
            row["variant"]: {key: told["value"] for key, told in row["figures"].items()}
            for row in variants
        }
        content = {
            "axis": axis.by,
            "seeds": list(plan.seeds),
            "plan": json_digest(plan.model_dump(mode="json")),
            "points": list(_curve(axis, points, names, found["models"])),
            "variants": variants,
            "hypotheses": [told for told in tested if told["axis"] == name],
        }
        write_json(folder / f"{name}.json", content)
    outcomes = {told["id"]: told["outcome"] for told in tested}
    for told in tested:
        work.note(f"{told['id']}: {told['outcome']}")
    # Numbers of a result become metrics in MLflow.
    return {"hypotheses": outcomes, "points": len(points), "means": means}


def tested_hypotheses(
    hypotheses: Sequence[Hypothesis], scores: Scores, names: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """Every hypothesis with its comparisons and its outcome."""
    rows: list[tuple[Hypothesis, list[dict[str, Any]], Evidence]] = []
    for hypothesis in hypotheses:
        comparisons, weights = [], []
        for comparison in hypothesis.compare:
            mean, by_seed = compared(comparison, scores, names)
            weight = evidence(mean, comparison.direction, comparison.within)  # type: ignore[arg-type]
            weights.append(weight)
            comparisons.append(_told(comparison, mean, by_seed, weight))
        rows.append((hypothesis, comparisons, joined(weights)))
    judged = verdicts([weight for _, _, weight in rows])
    return [
        _hypothesis(hypothesis, comparisons, verdict)
        for (hypothesis, comparisons, _), verdict in zip(rows, judged, strict=True)
    ]


def _hypothesis(
    hypothesis: Hypothesis, comparisons: list[dict[str, Any]], verdict: Verdict
) -> dict[str, Any]:
    return {
        "id": hypothesis.id,
        "axis": hypothesis.axis,
        "says": hypothesis.says,
        "outcome": verdict.outcome,
        "p_supports_holm": verdict.supports,
        "p_contradicts_holm": verdict.contradicts,
        "comparisons": comparisons,
    }


def _told(
    comparison: Comparison, mean: Mean, by_seed: list[float], weight: Evidence
) -> dict[str, Any]:
    low, high = mean.interval()
    expected = f"{comparison.variant} {comparison.direction} than {comparison.than}"
    if comparison.direction == "alike":
        expected = f"{comparison.variant} like {comparison.than}, within {comparison.within:g}"
    return {
        "figure": comparison.figure,
        "expected": expected,
        "difference": {"value": mean.value, "low": low, "high": high, "n": mean.items},
        "by_seed": by_seed,
        "p_supports": weight.supports,
        "p_contradicts": weight.contradicts,
    }


def _curve(
    axis: Axis,
    points: Mapping[str, Point],
    names: Mapping[str, Sequence[str]],
    figures: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """Every point of an axis with its own figures and their intervals over items."""
    for variant in axis.variants:
        for name in names[variant]:
            point = points[name]
            yield {
                "x": _x(axis, variant, point),
                "seed": point.seed,
                "model": point.method,
                "variant": variant,
                "pairs": point.pairs,
                "figures": {key: told for key, told in figures[name].items() if told["n"]},
            }


def _variants(
    axis: Axis, points: Mapping[str, Point], names: Mapping[str, Sequence[str]], scores: Scores
) -> Iterator[dict[str, Any]]:
    """Means over seeds, the base first."""
    for variant in dict.fromkeys((BASE, *axis.variants)):
        told = {}
        for figure, of in scores.items():
            asked = [of.get(name, {}).keys() for name in names[variant]]
            items = sorted(set.intersection(*map(set, asked)))
            if len(items) > 1:
                mean = seeded_mean(table_of(of, names[variant], items))
                low, high = mean.interval()
                bounds = {"low": max(0.0, low), "high": min(1.0, high)}
                told[figure] = {"value": mean.value, **bounds, "n": mean.items, "seeds": mean.seeds}
        yield {
            "variant": variant,
            "x": _x(axis, variant, points[names[variant][0]]),
            "figures": told,
        }


def _x(axis: Axis, variant: str, point: Point) -> int | str:
    return point.pairs if axis.x == "pairs" else variant
