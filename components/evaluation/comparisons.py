"""Paired comparisons of two models on the items that both were asked."""

from dataclasses import asdict
from typing import Any

from components.evaluation.figures import Making, Scored, counts, rows_of, scores_of
from components.evaluation.items import clusters_of
from components.evaluation.metrics import CHAMPION, Metric
from spavl.statistics import holm, mcnemar, paired_difference


def comparisons(scored: list[Scored], making: Making) -> dict[str, Any]:
    """Base against every other model of the run, figure by figure."""
    models = sorted({row.model for row in scored} - {CHAMPION, "base"})
    return {model: _against_base(scored, model, making) for model in models}


def _against_base(scored: list[Scored], model: str, making: Making) -> dict[str, Any]:
    """Base against one model, benchmark by benchmark; p-values adjusted over all of them."""
    found = {
        metric.key: test
        for metric in making.metrics
        if metric.estimate == "rate" and (test := _compare(metric, scored, model, making))
    }
    adjusted = holm([test["p_value"] for test in found.values()])
    for test, p_value in zip(found.values(), adjusted, strict=True):
        test["p_value_holm"] = p_value
    return found


def _compare(
    metric: Metric, scored: list[Scored], model: str, making: Making
) -> dict[str, Any] | None:
    """McNemar's exact test and the paired difference, on the items judged under both models."""
    base, other = (scores_of(metric, rows_of(metric, scored, name)) for name in ("base", model))
    shared = sorted(base.keys() & other.keys())
    if not shared:
        return None
    first, second = [base[i] for i in shared], [other[i] for i in shared]
    test = mcnemar([counts(score) for score in first], [counts(score) for score in second])
    items = {row.item.item_id: row.item for row in scored}
    clusters = [clusters_of(items[i]) for i in shared]
    change = paired_difference(first, second, clusters, making.settings.confidence)
    return {
        "test": "McNemar, exact, two-sided",
        "only_base": test.only_first,
        f"only_{model}": test.only_second,
        "n": test.n,
        "p_value": test.p_value,
        "difference": asdict(change),
    }
