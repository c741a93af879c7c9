"""Whether figures can be believed at all: enough items, verdicts, and a judge who is consistent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spavl.settings.gate import GateSettings

SWAPPED = "swap_disagreement"
WITHOUT = "without_verdict"


@dataclass(frozen=True)
class Rule:
    """One rule's outcome, with the numbers it rests on."""

    name: str
    holds: bool
    detail: str


def trust_rules(
    mine: Mapping[str, Any], base: Mapping[str, Any], settings: GateSettings
) -> list[Rule]:
    """What must hold of candidate and base before any of their figures means something.

    A judge that times out or talks nonsense leaves items without verdict; one that always names the
    first answer contradicts itself when the answers are swapped.
    """
    told = [figures[metric] for figures in (mine, base) for metric in settings.metrics]
    fewest = min(figure["n"] for figure in told)
    silent = max(_silent_share(figure) for figure in told)
    swapped = _share(mine[settings.help].get(SWAPPED, 0), mine[settings.help]["n"])
    return [
        Rule("enough_items", fewest >= settings.least_items, f"{fewest} >= {settings.least_items}"),
        _within("judge_gave_verdicts", silent, settings.most_without_verdict),
        _within("judge_consistent_when_swapped", swapped, settings.most_swap_disagreement),
    ]


def _within(name: str, share: float, most: float) -> Rule:
    return Rule(name, share <= most, f"{share:.4f} <= {most:.4f}")


def _silent_share(figure: Mapping[str, Any]) -> float:
    silent = sum(figure.get(WITHOUT, {}).values())
    return _share(silent, silent + figure["n"])


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
