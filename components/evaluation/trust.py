"""Whether figures can be believed at all: enough items, verdicts, and a judge who is consistent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spavl.settings.gate import GateSettings

SWAPPED = "swap_disagreement"
WITHOUT = "without_verdict"


@dataclass(frozen=True)
class Rule:
    """One rule's outcome.

    Attributes:
        name: The rule.
        holds: Whether it holds.
        detail: The numbers it rests on, for people.
        numbers: The same for programs.
    """

    name: str
    holds: bool
    detail: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


def trust_rules(
    mine: Mapping[str, Any], base: Mapping[str, Any], settings: GateSettings
) -> list[Rule]:
    """What must hold of candidate and base before any of their figures means something.

    A judge that times out or talks nonsense leaves items without verdict; one that always names the
    first answer contradicts itself when the answers are swapped. The pocket world's items say
    nothing about a model that was not made for it.
    """
    told = [figures[metric] for figures in (mine, base) for metric in settings.metrics]
    fewest = min(figure["n"] for figure in told)
    silent = max(_silent_share(figure) for figure in told)
    swapped = _share(mine[settings.help].get(SWAPPED, 0), mine[settings.help]["n"])
    return [
        Rule("enough_items", fewest >= settings.least_items, f"{fewest} >= {settings.least_items}"),
        _within("judge_gave_verdicts", silent, settings.most_without_verdict),
        _within("judge_consistent_when_swapped", swapped, settings.most_swap_disagreement),
        _source_rule(base, settings),
    ]


def _source_rule(base: Mapping[str, Any], settings: GateSettings) -> Rule:
    pocket = [name for name in settings.metrics if base[name].get("source") == "pocket"]
    stranger = settings.base_source != "pocket"
    if pocket and stranger:
        detail = f"{', '.join(pocket)} of source pocket, the base is not pocket's"
    else:
        detail = f"the base is {'not ' if stranger else ''}pocket's"
    return Rule("figures_fit_the_base", not (pocket and stranger), detail)


def _within(name: str, share: float, most: float) -> Rule:
    return Rule(name, share <= most, f"{share:.4f} <= {most:.4f}", {"share": share, "most": most})


def _silent_share(figure: Mapping[str, Any]) -> float:
    silent = sum(figure.get(WITHOUT, {}).values())
    return _share(silent, silent + figure["n"])


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
