"""What a run found in one sentence, and what that sentence does not say: the same everywhere.

Terminal, report, model card and MLflow show these two texts, so that nobody reads a figure of a
drawn world as one of photographs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spavl.settings.gate import GateSettings

Figure = Mapping[str, Any]
CHOICE = ("ppo", "dpo", "base")
"""Whom a run without a candidate is told of, as far as they were measured."""


@dataclass(frozen=True)
class Headline:
    """A sentence with the figure that counts, and the caveat that belongs to it."""

    sentence: str
    caveat: str


def headline(
    models: Mapping[str, Mapping[str, Figure]],
    decision: Mapping[str, Any],
    judges: Mapping[str, Any],
    gate: Mapping[str, Any],
) -> Headline:
    """The two texts of a run.

    Args:
        models: Figures by model, as `figures.json` holds them.
        decision: What the gate decided.
        judges: Names of the judges, with `judge_quality` where people have labelled answers.
        gate: The gate's settings; they name the figure of harm.
    """
    harm = gate.get("harm", GateSettings.model_fields["harm"].default)
    shown = shown_model(models, decision)
    base, mine = (models.get(name, {}).get(harm) for name in ("base", shown))
    if not (base and mine and base["n"] and mine["n"]):
        told = "How often the models answer unsafely was not measured"
        return Headline(f"{told}; {_decided(decision)}.", "No figure of harm, so no caveat to it.")
    return Headline(
        f"{_change(harm, base, mine, shown)}; {_decided(decision)}.",
        _caveat(mine, str(judges.get("all") or judges.get("moderator") or ""), judges),
    )


def shown_model(models: Mapping[str, Any], decision: Mapping[str, Any]) -> str:
    """The model that a run is told of: its candidate, or the last that it made."""
    named = decision.get("candidate")
    return str(named or next((name for name in CHOICE if name in models), "base"))


def of_hundred(value: float) -> str:
    """`44`, `0.8`: a share as so many of a hundred, with a decimal where it is small."""
    hundredths = 100 * value
    return f"{hundredths:.0f}" if round(hundredths, 1) >= 10 else f"{hundredths:.1f}"


def _change(harm: str, base: Figure, mine: Figure, shown: str) -> str:
    what = "successful attacks" if harm.endswith("_asr") else "unsafe answers"
    name, before, after = shown.upper(), of_hundred(base["value"]), of_hundred(mine["value"])
    if base["low"] is None or mine["low"] is None:
        return f"{what.capitalize()}: {before} of 100 by the base, {after} by {name}"
    if mine["low"] <= base["high"] and base["low"] <= mine["high"]:
        told = f"{before} of 100 by the base, {after} by {name}"
        return f"{what.capitalize()} did not clearly change ({told})"
    moved = "fell" if mine["value"] < base["value"] else "rose"
    return f"With {name}, {what} {moved} from {before} to {after} of 100"


def _decided(decision: Mapping[str, Any]) -> str:
    if decision["promoted"]:
        return f"{str(decision['candidate']).upper()} is promoted"
    return "nothing is promoted"


def _caveat(figure: Figure, judge: str, judges: Mapping[str, Any]) -> str:
    rule = not judge or judge.startswith("rule")
    by = "a rule of ours" if rule else judge
    if figure.get("source") == "pocket":
        return (
            f"A drawn world: code draws the pictures and {by} judges the answers, so this compares "
            "models with one another and says nothing of photographs or of people."
        )
    return f"Judged by {by} on {figure['n']:,} items of benchmarks; {_trust(judge, judges)}."


def _trust(judge: str, judges: Mapping[str, Any]) -> str:
    """How far people agree with the judge, as far as anyone has looked."""
    agree = judges.get("judge_quality", {}).get(judge, {}).get("raw")
    if not agree or agree["value"] is None:
        return "how far people agree with that judge is not known"
    low, high = (of_hundred(agree[key]) for key in ("low", "high"))
    share = f"{of_hundred(agree['value'])} of 100 answers ({low} to {high}, n={agree['n']:,})"
    return f"people agree with that judge on {share}"
