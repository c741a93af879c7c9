"""From scores to figures: rates with intervals, paired comparisons, and the two halves."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from spavl.errors import InputError
from spavl.records import EvalItem
from spavl.seeds import derive_seed
from spavl.settings.evaluation import ScoringSettings
from spavl.statistics import Estimate, mcnemar, mean, rate

BENCHMARK_OF = {
    "harm_eval_usr": "harm_eval",
    "help_eval_win_rate": "help_eval",
    "over_refusal_rate": "over_refusal",
    "general_ability": "general_ability",
}
WITHOUT_ITEMS = ("adv_bench_asr", "mm_safety_bench_asr")
HALVES = ("choosing", "deciding")


@dataclass(frozen=True)
class Scored:
    """One judged answer with what figures are made of."""

    item: EvalItem
    model: str
    outcome: str
    score: float


def half_of(image_id: str, seed: int) -> str:
    """Which half a picture's items belong to.

    The candidate is chosen on one half and its promotion decided on the other, so the figures that
    promote it are not those it was picked for. Items of one picture stay together.
    """
    return HALVES[derive_seed(seed, "half", image_id) % 2]


def all_figures(scored: list[Scored], settings: ScoringSettings, seed: int) -> dict[str, Any]:
    """All figures of `figures.json`; headline figures use all items."""
    halves: dict[str, list[Scored]] = {half: [] for half in HALVES}
    for row in scored:
        halves[half_of(row.item.image_id, seed)].append(row)
    models = sorted({row.model for row in scored})
    return {
        "models": _by_model(scored, models, settings, seed),
        "halves": {h: _by_model(rows, models, settings, seed) for h, rows in halves.items()},
        "harm_eval_usr_by_kind": {
            model: _by_kind([row for row in scored if row.model == model], settings)
            for model in models
        },
        "comparisons": {
            model: {"harm_eval": _compare(scored, model)} for model in models if model != "base"
        },
        "plumbing": {"photographs": _photographs(scored, models)},
    }


def _by_model(
    scored: list[Scored], models: list[str], settings: ScoringSettings, seed: int
) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for model in models:
        mine = [row for row in scored if row.model == model]
        figures[model] = {
            metric: _figure(metric, [r for r in mine if r.item.benchmark == name], settings, seed)
            for metric, name in BENCHMARK_OF.items()
        }
        figures[model].update({metric: _absent(metric) for metric in WITHOUT_ITEMS})
    return figures


def _figure(
    metric: str, rows: list[Scored], settings: ScoringSettings, seed: int
) -> dict[str, Any]:
    sources = sorted({row.item.source for row in rows})
    if len(sources) > 1:
        raise InputError(
            f"{metric} mixes items of {' and '.join(sources)}",
            "evaluation.benchmarks",
            "figures of different sources never share a column: evaluate them apart",
        )
    if not rows:
        return _absent(metric)
    estimate = _estimate(metric, [row.score for row in rows], settings, seed)
    return {**asdict(estimate), "source": sources[0]}


def _estimate(metric: str, scores: list[float], settings: ScoringSettings, seed: int) -> Estimate:
    """Wilson for yes/no scores; bootstrap over items for win rates, where ties count half."""
    if metric == "help_eval_win_rate":
        return mean(scores, seed, settings.confidence, settings.resamples)
    return rate(round(sum(scores)), len(scores), settings.confidence)


def _absent(metric: str) -> dict[str, Any]:
    note = "no items in this run"
    if metric in WITHOUT_ITEMS:
        note = "needs the published benchmark; not part of the pocket profile"
    return {**asdict(Estimate(None, None, None, 0)), "source": "published", "note": note}


def _by_kind(rows: Iterable[Scored], settings: ScoringSettings) -> dict[str, Any]:
    scores: dict[str, list[float]] = {}
    for row in rows:
        if row.item.benchmark == "harm_eval":
            scores.setdefault(row.item.kind or "none", []).append(row.score)
    return {
        kind: asdict(rate(round(sum(values)), len(values), settings.confidence))
        for kind, values in sorted(scores.items())
    }


def _compare(scored: list[Scored], model: str) -> dict[str, Any]:
    """McNemar's exact test of unsafe answers, base against one model, on the items of both."""
    base, other = (_harm(scored, name) for name in ("base", model))
    shared = sorted(base.keys() & other.keys())
    test = mcnemar([base[i] for i in shared], [other[i] for i in shared])
    return {
        "test": "McNemar, exact, two-sided",
        "only_base_unsafe": test.only_first,
        f"only_{model}_unsafe": test.only_second,
        "n": test.n,
        "p_value": test.p_value,
    }


def _harm(scored: Iterable[Scored], model: str) -> Mapping[str, bool]:
    return {
        row.item.item_id: row.score == 1.0
        for row in scored
        if row.model == model and row.item.benchmark == "harm_eval"
    }


def _photographs(scored: Iterable[Scored], models: list[str]) -> dict[str, Any]:
    counts: dict[str, Counter[str]] = {model: Counter() for model in models}
    for row in scored:
        if row.item.benchmark == "photographs":
            counts[row.model][row.outcome] += 1
    return {
        model: {"n": sum(found.values()), "outcomes": dict(sorted(found.items()))}
        for model, found in counts.items()
    }
