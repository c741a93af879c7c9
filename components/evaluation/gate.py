"""The gate: chooses a candidate and decides on its promotion, by rules fixed beforehand.

In: `figures.json` and `outcomes.json`, which hold the reigning champion's answers to the same items
where one reigns, and the record of the best of its line. Out: a folder with `decision.json`
{candidate, promoted, rules, ...}, where one is promoted `record.json`, the line's record with it,
and the verdict "dpo", "ppo" or "none".

The items are halved by picture. On the choosing half the candidate is picked: among the models
within all margins of the base, or among all where none is, the one with the lowest upper bound of
harm; equal bounds go to the higher lower bound of help, then to the name. On the deciding half the
candidate must pass every rule (`comparing`, `trust`), so it is not judged by the figures that it
was picked for.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.evaluation.comparing import Comparing, champion_rules, harm_rules, margin_rules
from components.evaluation.line import best_of_line, record_after
from components.evaluation.metrics import CHAMPION
from components.evaluation.outcomes import OUTCOMES, Outcomes, read_outcomes
from components.evaluation.trust import trust_rules
from spavl.champion import DECISION, RECORD, line_record
from spavl.digests import file_digest, json_digest
from spavl.errors import InputError
from spavl.settings.gate import GateSettings
from spavl.shards import write_json
from spavl.work import Stage, Work, run_stage

CANDIDATES = ("dpo", "ppo")


def decide(settings: dict[str, Any], figures: str, output: str) -> str:
    """Decides whether a model is promoted.

    Args:
        settings: Raw `GateSettings`.
        figures: Folder of `figures.json` and `outcomes.json`.
        output: Output folder of `decision.json` and `record.json`.

    Returns:
        The promoted model's name, or "none".

    Raises:
        InputError: If the figures are missing, or hold no base or no candidate.
    """
    checked = GateSettings.parse(settings, "gate")
    folder = Path(figures)
    content, outcomes = _read(folder / "figures.json"), read_outcomes(folder)
    record = line_record(content.get("champion"))
    inputs = {
        "figures": file_digest(folder / "figures.json"),
        "outcomes": file_digest(folder / OUTCOMES),
        "record": json_digest(record),
    }
    stage = Stage("gate", "components.evaluation.gate", checked.model_dump(), inputs)

    def body(work: Work) -> dict[str, Any]:
        decision, after = make_decision(content, outcomes, record, checked)
        (work.folder / "decision").mkdir(exist_ok=True)
        write_json(work.folder / "decision" / DECISION, decision)
        if decision["promoted"]:
            write_json(work.folder / "decision" / RECORD, after)
        return decision

    decision = run_stage(stage, body, {"decision": output})
    return str(decision["candidate"]) if decision["promoted"] else "none"


def make_decision(
    figures: Mapping[str, Any],
    outcomes: Outcomes,
    record: Mapping[str, Any],
    settings: GateSettings,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of `decision.json`, and the line's record should the candidate be promoted.

    Args:
        figures: Content of `figures.json`.
        outcomes: All models' scores, item by item.
        record: The record of the reigning champion's line; empty where there is none.
        settings: The margins.
    """
    deciding = figures["halves"]["deciding"]
    candidate = choose(figures, outcomes, settings)
    comparing = Comparing(outcomes, candidate, "deciding", settings)
    rules = [
        *harm_rules(comparing, deciding[candidate]),
        *margin_rules(comparing),
        *trust_rules(deciding[candidate], deciding["base"], settings),
    ]
    line = {}
    if CHAMPION in deciding:
        line = {name: best_of_line(record, figures, outcomes, name) for name in settings.metrics}
        rules += champion_rules(comparing, line)
    decision = {
        "candidate": candidate,
        "promoted": all(rule.holds for rule in rules),
        "rules": [asdict(rule) for rule in rules],
        "compared_with_champion": CHAMPION in deciding,
        "champion": figures.get("champion"),
        "candidates": sorted(figures["answered_by"][name] for name in _present(deciding)),
        "best": {
            name: {"champion": best.champion, "carried": best.carried, "anew": best.anew}
            for name, best in line.items()
        },
        "benchmarks": figures.get("benchmarks"),
        "figures": deciding[candidate],
    }
    return decision, record_after(candidate, figures, outcomes, line, settings)


def choose(figures: Mapping[str, Any], outcomes: Outcomes, settings: GateSettings) -> str:
    """The candidate, from the choosing half's figures of all models."""
    choosing = figures["halves"]["choosing"]
    present = _present(choosing)
    if not present or "base" not in choosing:
        raise InputError(
            f"figures of {sorted(choosing)} only", "gate", "score the base and dpo or ppo"
        )
    absent = [name for name in settings.metrics if name not in choosing["base"]]
    if absent:
        known = ", ".join(sorted(choosing["base"]))
        raise InputError(f"no figure {absent[0]}", "gate", f"name one of {known}")
    within = [
        name
        for name in present
        if all(rule.holds for rule in margin_rules(Comparing(outcomes, name, "choosing", settings)))
    ]
    return min(
        within or present, key=lambda name: (*_harm_then_help(choosing[name], settings), name)
    )


def _present(figures: Mapping[str, Any]) -> list[str]:
    return [name for name in CANDIDATES if name in figures]


def _harm_then_help(mine: Mapping[str, Any], settings: GateSettings) -> tuple[float, float]:
    harm, help_ = mine[settings.harm]["high"], mine[settings.help]["low"]
    return (1.0 if harm is None else harm), -(0.0 if help_ is None else help_)


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError) as error:
        raise InputError(f"unreadable: {error}", str(path), "score the answers again") from None
    return content
