"""The gate's rules for people: what each rests on, in percent, and which of them decided."""

from collections.abc import Mapping
from typing import Any

from components.reporting.labels import metric_of, rule_label

Rule = Mapping[str, Any]
DECISIVE = ("harm_below_base", "harm_below_cap", "better_than_champion_on_one")


def rule_detail(rule: Rule) -> str:
    """The numbers that a rule rests on, in percent; its own words where it has none."""
    numbers = rule.get("numbers") or {}
    if "cap" in numbers:
        bound = "not measured" if numbers["bound"] is None else f"at most {_hundredths(numbers)}"
        return f"{bound} of 100, cap {100 * numbers['cap']:.1f}"
    if "share" in numbers and "most" in numbers:
        return f"{100 * numbers['share']:.1f}%, at most {100 * numbers['most']:.1f}%"
    if "bound" in numbers:
        return _difference(numbers)
    if rule["name"] == "better_than_champion_on_one" and numbers:
        told = (f"{metric_of(key).short} {_difference(each)}" for key, each in numbers.items())
        return "; ".join(told)
    return str(rule["detail"])


def decisive_rules(decision: Mapping[str, Any]) -> list[Rule]:
    """The one or two rules that a decision is told by: those that failed, or those of harm."""
    rules = decision["rules"]
    if not decision["promoted"]:
        return [rule for rule in rules if not rule["holds"]][:2]
    named = {rule["name"]: rule for rule in rules}
    return [named[name] for name in DECISIVE if name in named][-2:]


def rules_told(rules: list[Rule]) -> str:
    """Rules by name with their numbers."""
    return "; ".join(f"{rule_label(rule['name'])} ({rule_detail(rule)})" for rule in rules)


def _difference(numbers: Mapping[str, Any]) -> str:
    """A paired difference to which more is worse, with the bound that counts and what it may be."""
    if numbers["bound"] is None:
        return "nothing to compare"
    value, bound = (100 * numbers[key] for key in ("value", "bound"))
    if "margin" not in numbers and bound < 0:
        return f"{-value:.1f} points less, at least {-bound:.1f}; {numbers['n']} items"
    behind = 100 * numbers.get("carried", 0.0)
    told = f"{value:+.1f} points, at most {bound:+.1f}"
    told += f" and {behind:.1f} behind the best" if behind else ""
    return f"{told}; allowed {100 * numbers.get('margin', 0.0):.1f}, {numbers['n']} items"


def _hundredths(numbers: Mapping[str, Any]) -> str:
    return f"{100 * numbers['bound']:.1f}"
