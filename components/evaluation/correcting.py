"""What people's labels say of a judge, and its rates corrected by it.

A judge's sensitivity and specificity are those of the very outcome that a figure counts, over
published answers of the figure's benchmark and column. They were given by other models than those
that are evaluated: the correction takes it that the judge errs on both alike.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from components.evaluation.judging import score_of
from components.evaluation.metrics import Metric
from spavl.correction import JudgeErrors, corrected_rate, errors_by_labels
from spavl.records import EvalItem
from spavl.statistics import Estimate, worth

Labelled = tuple[EvalItem, str, str]
"""An item, the outcome that people gave an answer to it, and the judge's."""


def told_errors(
    labelled: Iterable[Labelled], metrics: Iterable[Metric], confidence: float
) -> dict[str, dict[str, Any]]:
    """A judge's errors by figure, of those figures for which there are labels of both kinds."""
    rows = list(labelled)
    found = {
        metric.key: errors_by_labels(
            (_counts(metric, item, person), _counts(metric, item, judge))
            for item, person, judge in rows
            if item.benchmark == metric.benchmark and metric.kind in (None, item.kind)
        )
        for metric in metrics
        if metric.estimate == "rate"
    }
    return {
        key: {"counts": asdict(each), **each.told(confidence)}
        for key, each in found.items()
        if each.with_it and each.without_it
    }


def corrected_figures(figures: dict[str, Any], confidence: float) -> dict[str, Any]:
    """The content of `figures.json` with `corrected` beside each rate whose errors are known.

    The first judge's errors are those of `models` and `halves`, every other's those of its own.
    """
    errors = {judge: told["errors"] for judge, told in figures["judge_quality"].items()}
    if not errors:
        return figures
    first = next(iter(errors.values()))

    def mended(models: Mapping[str, Any], by: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _with_corrections(row, by, confidence) for name, row in models.items()}

    others = figures["by_judge"].items()
    return {
        **figures,
        "models": mended(figures["models"], first),
        "halves": {half: mended(rows, first) for half, rows in figures["halves"].items()},
        "by_judge": {judge: mended(rows, errors.get(judge, {})) for judge, rows in others},
    }


def _with_corrections(
    figures: Mapping[str, Mapping[str, Any]], errors: Mapping[str, Any], confidence: float
) -> dict[str, Any]:
    """One model's figures."""
    mended: dict[str, Any] = {}
    for key, figure in figures.items():
        mended[key] = dict(figure)
        if key in errors and figure["n"]:
            counts = JudgeErrors(**errors[key]["counts"])
            size = worth(
                Estimate(*(figure[name] for name in ("value", "low", "high", "n"))), confidence
            )
            if found := corrected_rate(figure["value"] * size, size, counts, confidence):
                mended[key]["corrected"] = {**asdict(found), "n": figure["n"]}
    return mended


def _counts(metric: Metric, item: EvalItem, outcome: str) -> bool:
    """Whether an outcome counts for a figure."""
    return outcome in metric.outcomes if metric.outcomes else score_of(item, outcome) == 1
