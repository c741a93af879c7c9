"""How often the gate errs: models whose rates are known answer items that are drawn.

Nothing is measured but the gate's own code, with the margins that ship. Two models that are equal
differ in 4% of the items, half of them either way; a change of a rate comes on top. In clusters of
five, items share what they are drawn by so that their intra-class correlation is 0.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluation.gate import make_decision
from components.evaluation.outcomes import Outcomes
from spavl.settings.gate import GateSettings
from spavl.statistics import rate

DIFFER = 0.02
"""Share of items on which one of two equal models has the outcome and the other has not."""
CLUSTER, CORRELATION = 5, 0.3
STEP = 0.028
SETTINGS = GateSettings()
HARM, HELP, OVER_REFUSAL, ABILITY = SETTINGS.metrics


@dataclass(frozen=True)
class Answers:
    """A model's scores by figure, and its true rates."""

    scores: Mapping[str, NDArray[np.float64]]
    rates: Mapping[str, float]


@dataclass(frozen=True)
class Draws:
    """Where items and answers come from.

    Attributes:
        rng: Random numbers.
        n: Items of each figure.
        clustered: Whether items come in clusters.
    """

    rng: np.random.Generator
    n: int
    clustered: bool = False

    def uniform(self) -> NDArray[np.float64]:
        """One number an item; in a cluster, some share theirs."""
        own = self.rng.random(self.n)
        if not self.clustered:
            return own
        shared = np.repeat(self.rng.random(-(-self.n // CLUSTER)), CLUSTER)[: self.n]
        return np.where(self.rng.random(self.n) < np.sqrt(CORRELATION), shared, own)

    def base(self, harm: float) -> Answers:
        """A base: ties with itself on help."""
        rates = {HARM: harm, OVER_REFUSAL: 0.05, ABILITY: 0.9}
        found = {figure: (self.uniform() < each) * 1.0 for figure, each in rates.items()}
        return Answers({**found, HELP: np.full(self.n, 0.5)}, rates)

    def after(self, model: Answers, **changes: float) -> Answers:
        """A model that differs from another by chance, and by changes of its true rates."""
        by_figure = {figure: changes.get(role, 0.0) for figure, role in ROLE.items()}
        scores = {
            figure: self._moved(each, model.rates.get(figure), by_figure[figure])
            for figure, each in model.scores.items()
        }
        rates = {figure: each + by_figure[figure] for figure, each in model.rates.items()}
        return Answers(scores, rates)

    def _moved(
        self, scores: NDArray[np.float64], true: float | None, change: float
    ) -> NDArray[np.float64]:
        # A help score moves by half a point: from a tie to a win or a loss.
        steps, rises, falls = (2, 1.0, 1.0) if true is None else (1, 1 - true, true)
        up, down = (DIFFER + max(0.0, sign * change * steps) for sign in (1, -1))
        pick = self.uniform()
        risen = (scores < 1) & (pick < up / max(rises, up))
        fallen = (scores > 0) & ~risen & (1 - pick < down / max(falls, down))
        moved: NDArray[np.float64] = scores + (risen * 1.0 - fallen * 1.0) / steps
        return moved


ROLE = {HARM: "harm", HELP: "help", OVER_REFUSAL: "over_refusal", ABILITY: "ability"}


@dataclass(frozen=True)
class Case:
    """One question to the gate.

    Attributes:
        reigns: Whether a champion reigns; its harm is then a tenth and the base's a quarter.
            Without one the base's is a tenth.
        changes: What the candidate changes, against the champion or the base.
        sizes: Numbers of items.
        most: At most so many may pass; None where it is no bound.
        least: At least so many must pass.
    """

    reigns: bool
    changes: Mapping[str, float]
    sizes: tuple[int, ...] = (500,)
    most: float | None = None
    least: float | None = None


CASES = {
    f"{name}, {'champion' if reigns else 'base alone'}": replace(case, reigns=reigns)
    for reigns in (False, True)
    for name, case in {
        "equal": Case(False, {}, most=0.05),
        "harm 10% to 5%": Case(False, {"harm": -0.05}, least=0.8),
        "harm 10% to 5%, over-refusal +10 points": Case(
            False, {"harm": -0.05, "over_refusal": 0.1}, (20, 100, 500), most=0.05
        ),
    }.items()
}


@dataclass
class Line:
    """A line of champions and its record."""

    base: Answers
    champion: Answers | None = None
    record: dict[str, Any] = field(default_factory=dict)
    promoted: int = 0

    def ask(self, candidate: Answers, draws: Draws, settings: GateSettings = SETTINGS) -> list[str]:
        """Lets the gate decide; a candidate that passes reigns.

        Returns:
            The rules that failed.
        """
        models = {"base": self.base, "dpo": candidate}
        if self.champion is not None:
            models["champion"] = self.champion
        outcomes = _outcomes(models, draws)
        figures = _figures(models, self.promoted)
        decision, record = make_decision(figures, outcomes, self.record, settings)
        if decision["promoted"]:
            self.champion, self.record, self.promoted = candidate, record, self.promoted + 1
        return [rule["name"] for rule in decision["rules"] if not rule["holds"]]


def run(chains: int, draws: int, seed: int) -> dict[str, Any]:
    """Simulate.

    Args:
        chains: Chains of twelve candidates.
        draws: Decisions of each other case.
        seed: Seed of all.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {"settings": SETTINGS.model_dump(), "seed": seed}
    for clustered in (False, True):
        name = "clusters of five" if clustered else "independent"
        found[name] = {
            "passes": [
                _passes(label, case, Draws(rng, n, clustered), draws)
                for label, case in CASES.items()
                for n in case.sizes
            ],
            "chains": [
                _chains(Draws(rng, n, clustered), chains, helpful, cap)
                for n, helpful, cap in (
                    (500, 0.0, True), (500, 0.1, False), (1000, 0.1, False)
                )
            ],
        }  # fmt: skip
    return found


def _passes(label: str, case: Case, draws: Draws, number: int) -> dict[str, Any]:
    passed = 0
    for _ in range(number):
        base = draws.base(0.25 if case.reigns else 0.1)
        line = Line(base)
        if case.reigns:
            line.champion = draws.after(base, harm=-0.15)
        model = line.champion or base
        passed += not line.ask(draws.after(model, **case.changes), draws)
    share = rate(passed, number)
    if draws.clustered:  # told, and bound by nothing: clusters leave fewer items' worth
        case = replace(case, most=None, least=None)
    held = (case.most is None or passed <= case.most * number) and (
        case.least is None or passed >= case.least * number
    )
    bounds = {"at_most": case.most, "at_least": case.least}
    return {"case": label, "n": draws.n, **bounds, "passed": vars(share), "held": held}


def _chains(draws: Draws, number: int, helpful: float, cap: bool) -> dict[str, Any]:
    """Twelve candidates one after another, each more harmful than whoever reigns.

    Args:
        draws: Where items come from.
        number: Chains.
        helpful: By how much each helps more than whoever reigns, to be better on one figure.
        cap: Whether the cap of harm counts; without it only the margins stop them.
    """
    settings = SETTINGS if cap else SETTINGS.model_copy(update={"harm_cap": 1.0})
    most, promotions = 0.0, 0
    for _ in range(number):
        base = draws.base(0.45)
        first = draws.after(base, harm=-0.4)
        line = Line(base, first)
        above = 0.0
        for _ in range(12):
            if not line.ask(
                draws.after(line.champion or first, harm=STEP, help=helpful), draws, settings
            ):
                above, promotions = above + STEP, promotions + 1
        most = max(most, above)
    return {
        "n": draws.n, "chains": number, "candidates": 12 * number,
        "more_helpful_each": helpful, "cap": settings.harm_cap, "promotions": promotions,
        "most_harm_above_best": most, "held": most <= SETTINGS.harm_margin,
    }  # fmt: skip


def _outcomes(models: Mapping[str, Answers], draws: Draws) -> Outcomes:
    names = [str(k) for k in range(draws.n)]
    cluster = [[str(k // CLUSTER) if draws.clustered else None, None] for k in range(draws.n)]
    items = {
        name: {"half": "deciding", "clusters": each}
        for name, each in zip(names, cluster, strict=True)
    }
    scores = {
        model: {
            figure: dict(zip(names, each.tolist(), strict=True))
            for figure, each in answers.scores.items()
        }
        for model, answers in models.items()
    }
    return Outcomes(items, scores)


def _figures(models: Mapping[str, Answers], generation: int) -> dict[str, Any]:
    told = {
        model: {figure: _figure(figure, each) for figure, each in answers.scores.items()}
        for model, answers in models.items()
    }
    answered_by = {model: model for model in models} | {"dpo": f"model-{generation + 1}"}
    champion = f"model-{generation}" if "champion" in models else None
    return {
        "halves": {"choosing": told, "deciding": told},
        "answered_by": answered_by, "champion": champion, "conditions": "same",
    }  # fmt: skip


def _figure(figure: str, scores: NDArray[np.float64]) -> dict[str, Any]:
    """The gate reads the interval of harm alone; of the others, how many items there are."""
    if figure == HARM:
        return {**vars(rate(int(scores.sum()), len(scores))), "source": "pocket"}
    value = float(scores.mean())
    return {"value": value, "low": value, "high": value, "n": len(scores), "source": "pocket"}
