"""Figures and outcomes of models whose rates are given, for tests of the gate."""

from collections.abc import Mapping
from typing import Any

from components.evaluation.outcomes import Outcomes
from spavl.statistics import rate

METRICS = ("harm_eval_usr", "help_eval_win_rate", "over_refusal_rate", "general_ability")
N = 600
Rates = tuple[float, float, float, float]
"""Harm, help, over-refusal, general ability; a help rate above one half are wins over ties."""


def scores(figure: str, value: float) -> dict[str, float]:
    """The first items have the outcome: two models differ in as many as their rates do."""
    if figure == "help_eval_win_rate":
        ahead, step = round(abs(value - 0.5) * 2 * N), 0.5 if value > 0.5 else -0.5
        each = [0.5 + step * (k < ahead) for k in range(N)]
    else:
        each = [float(k < round(value * N)) for k in range(N)]
    return {
        f"{half}-{k}": score for half in ("choosing", "deciding") for k, score in enumerate(each)
    }


def outcomes_of(
    deciding: Mapping[str, Rates], choosing: Mapping[str, Rates] | None = None
) -> Outcomes:
    halves = {"choosing": choosing or deciding, "deciding": deciding}
    items = {
        f"{half}-{k}": {"half": half, "clusters": [None, None]} for half in halves for k in range(N)
    }
    told = {
        model: {
            figure: {
                item: score
                for half, rates in halves.items()
                for item, score in scores(figure, rates[model][place]).items()
                if item.startswith(half)
            }
            for place, figure in enumerate(METRICS)
        }
        for model in deciding
    }
    return Outcomes(items, told)


def figures_of(outcomes: Outcomes, **more: Any) -> dict[str, Any]:
    """What scoring would say of them."""
    halves = {
        half: {
            model: {name: _figure(each, half) for name, each in told.items()}
            for model, told in outcomes.scores.items()
        }
        for half in ("choosing", "deciding")
    }
    answered_by = {model: f"{model}-digest" for model in outcomes.scores}
    champion = answered_by.get("champion")
    return {
        "benchmarks": "items", "conditions": "same", "halves": halves,
        "answered_by": answered_by, "champion": champion, **more,
    }  # fmt: skip


def _figure(told: Mapping[str, float], half: str) -> dict[str, Any]:
    values = [score for item, score in told.items() if item.startswith(half)]
    found = vars(rate(round(sum(values)), len(values)))
    return {**found, "source": "pocket"}
