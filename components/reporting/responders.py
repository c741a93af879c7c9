"""The responders in figures: how safe, over which classes, how often preferred, at what cost."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from components.reporting.files import local_path, read_optional
from components.reporting.inputs import ReportInputs
from spavl.chat.settings import ChatSettings
from spavl.chat.usage import cost_of
from spavl.correction import JudgeErrors, corrected_rate
from spavl.environment import run_folder
from spavl.records import Image, Preference, Response, Verdict
from spavl.shards import read_rows
from spavl.statistics import Estimate, rate

_TOKENS = ("prompt_tokens", "completion_tokens")


def responders_in_figures(
    inputs: ReportInputs, settings: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Per responder, the safest first.

    Returns:
        `answers`, `safe` and `refused` as rates with intervals, `safe_by_class` likewise for
        each class of harm that it was asked about, how often its answers were `chosen` and
        `rejected`, its `group` and the `safety_rate` on harmful pictures that it was grouped by
        (None where it was not), its tokens and, where its endpoint's settings hold prices, its
        `cost`. `safe_corrected` for the moderator's errors, where an audit's labels are in the run
        folder. Nothing where the data set was imported.
    """
    if not (inputs.verdicts and inputs.preferences and inputs.pairs):
        return {}
    counts = _verdicts(inputs.images, inputs.verdicts)
    chosen = _count(inputs.preferences, "chosen_responder")
    rejected = _count(inputs.preferences, "rejected_responder")
    tokens = _tokens(inputs)
    groups = _groups(inputs.pairs)
    errors = moderator_errors()
    prices = {each["id"]: each for each in settings.get("responses", {}).get("responders", [])}
    answers, safe, refused = (counts[name] for name in ("answers", "safe", "refused"))
    return {
        name: {
            "answers": n,
            "safe": asdict(rate(safe[name], n)),
            **_corrected(safe[name], n, errors),
            "refused": asdict(rate(refused[name], n)),
            "safe_by_class": _by_class(name, counts),
            "chosen": chosen[name],
            "rejected": rejected[name],
            "group": groups.get(name, {}).get("group"),
            "safety_rate": groups.get(name, {}).get("safety_rate"),
            **{kind: tokens[name, kind] for kind in _TOKENS},
            **_cost(prices.get(name, {}), *(tokens[name, kind] for kind in _TOKENS)),
        }
        for name, n in sorted(answers.items(), key=lambda item: (-safe[item[0]] / item[1], item[0]))
    }


def moderator_errors() -> JudgeErrors | None:
    """The moderator's errors by the labels of `spavl audit in`; None where there are none."""
    folder = run_folder()
    told = read_optional(str(folder / "audit"), "agreement.json") if folder else {}
    counts = told.get("moderator", {}).get("errors", {}).get("counts")
    return JudgeErrors(**counts) if counts else None


def _corrected(safe: int, n: int, errors: JudgeErrors | None) -> dict[str, Any]:
    """The share of safe answers, which are those without the outcome that the errors are about."""
    unsafe = corrected_rate(n - safe, n, errors) if errors else None
    if unsafe is None:
        return {}
    value, low, high = (
        None if each is None else 1 - each for each in (unsafe.value, unsafe.high, unsafe.low)
    )
    return {"safe_corrected": asdict(Estimate(value, low, high, n))}


def _verdicts(images: str, verdicts: str) -> dict[str, Counter[Any]]:
    """Counts by responder, and by responder and class."""
    facts = read_rows(local_path(images), Image, ["image_id", "class3"], verify=False)
    class_of = {row["image_id"]: row["class3"] for row in facts if row["class3"]}
    names = ("answers", "safe", "refused", "class answers", "class safe")
    counts: dict[str, Counter[Any]] = {name: Counter() for name in names}
    columns = ["responder", "image_id", "safe", "refused"]
    for row in read_rows(verdicts, Verdict, columns, verify=False):
        counts["answers"][row["responder"]] += 1
        counts["safe"][row["responder"]] += row["safe"]
        counts["refused"][row["responder"]] += row["refused"]
        if harm := class_of.get(row["image_id"]):
            counts["class answers"][row["responder"], harm] += 1
            counts["class safe"][row["responder"], harm] += row["safe"]
    return counts


def _groups(pairs: str) -> dict[str, dict[str, Any]]:
    """What pairing said of the responders that it grouped."""
    rows = read_optional(pairs, "groups.json").get("responders", [])
    return {row["responder"]: row for row in rows}


def _by_class(responder: str, counts: Mapping[str, Counter[Any]]) -> dict[str, dict[str, Any]]:
    asked = sorted(harm for name, harm in counts["class answers"] if name == responder)
    return {
        harm: asdict(
            rate(counts["class safe"][responder, harm], counts["class answers"][responder, harm])
        )
        for harm in asked
    }


def _tokens(inputs: ReportInputs) -> Counter[tuple[str, str]]:
    tokens: Counter[tuple[str, str]] = Counter()
    for folder in inputs.responses:
        for row in read_rows(folder, Response, ["responder", *_TOKENS], verify=False):
            for kind in _TOKENS:
                tokens[row["responder"], kind] += row[kind]
    return tokens


def _cost(responder: Mapping[str, Any], *tokens: int) -> dict[str, float]:
    if "chat" not in responder:
        return {}
    chat: ChatSettings = TypeAdapter(ChatSettings).validate_python(responder["chat"])
    cost = cost_of(chat, *tokens)
    return {} if cost is None else {"cost": cost}


def _count(folder: str, column: str) -> Counter[str]:
    return Counter(row[column] for row in read_rows(folder, Preference, [column], verify=False))
