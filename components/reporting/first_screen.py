"""The report's first screen: what was found, how sure, for which model, promoted or not and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.reporting.labels import MODELS, Metric, metric_of, model_label
from components.reporting.rules import decisive_rules, rules_told
from components.reporting.run_facts import run_facts
from components.reporting.summary import headline_of
from spavl.headline import Headline, shown_model
from spavl.settings.gate import NO_FIGURE, GateSettings

ROLES = ("harm", "help", "over_refusal", "general_ability")


@dataclass(frozen=True)
class Panel:
    """One figure of the chart: its name, and each model's dot and interval."""

    metric: Metric
    rows: tuple[tuple[str, Mapping[str, Any]], ...]


@dataclass(frozen=True)
class FirstScreen:
    """What it shows.

    Attributes:
        headline: The sentence and its caveat.
        model: The model that the report is about.
        decision: Whether it is promoted.
        because: The one or two rules and numbers that decided.
        panels: The gate's figures of all models.
        facts: Which run this is.
    """

    headline: Headline
    model: str
    decision: str
    because: str
    panels: list[Panel]
    facts: dict[str, str]


def first_screen(summary: Mapping[str, Any]) -> FirstScreen:
    """Everything on it, from the summary and the run's folder."""
    decision = summary["decision"]
    told = rules_told(decisive_rules(decision))
    if decision["promoted"]:
        verdict = f"{model_label(decision['candidate'])} is promoted."
        because = f"Every rule fixed beforehand holds{': ' if told else ''}{told}."
    else:
        verdict = "Nothing is promoted."
        because = f"Failing: {told}." if told else "There was no candidate."
    model = shown_model(summary["models"], decision)
    headline = headline_of(summary)
    return FirstScreen(headline, model, verdict, because, _panels(summary), run_facts(summary))


def _panels(summary: Mapping[str, Any]) -> list[Panel]:
    """The reigning champion's figures are of the half that decides: it stands beside, not among."""
    gate = summary["made_by"]["settings"].get("gate", {})
    fields = GateSettings.model_fields
    keys = [gate.get(role, fields[role].default) for role in ROLES]
    models = {name: summary["models"][name] for name in MODELS if name in summary["models"]}
    if summary["reigning"]:
        models["champion"] = summary["reigning"]
    panels = []
    for key in keys:
        found = {name: row[key] for name, row in models.items() if row.get(key, {}).get("n")}
        if key != NO_FIGURE and found:
            rows = tuple((model_label(name), figure) for name, figure in found.items())
            panels.append(Panel(metric_of(key), rows))
    return panels
