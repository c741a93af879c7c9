"""Tables of the report, from the summary and what the stages said of themselves."""

from collections.abc import Iterable, Mapping
from typing import Any

from components.reporting.breakdown import Breakdown
from components.reporting.failures import Failures
from components.reporting.labels import (
    Metric,
    benchmark_label,
    fact_label,
    known_metrics,
    metric_of,
    model_label,
    spaced,
    stage_order,
)
from components.reporting.spending import priced
from components.reporting.summary import metric_rows, percent
from components.reporting.tables import Table, figure_cells

Row = tuple[Metric, dict[str, dict[str, Any]]]
DIGEST_LETTERS = 12
TOKENS = ("prompt_tokens", "completion_tokens")


def headline(models: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Row]]:
    """Figures by source, since those of different sources never share a table."""
    found: dict[str, list[Row]] = {}
    for metric, row in metric_rows(models):
        source = next(figure["source"] for figure in row.values() if figure["n"])
        found.setdefault(source or "unknown", []).append((metric, row))
    return found


def headline_table(models: Mapping[str, Mapping[str, Any]]) -> Table:
    """The same for programs, a row a figure and model."""
    rows = [
        (metric.key, model, *figure_cells(figure), figure.get("source"), metric.better,
         figure.get("note"), figure.get("decoding"))
        for metric, row in metric_rows(models)
        for model, figure in row.items()
    ]  # fmt: skip
    columns = ("source", "better", "note", "decoding")
    return Table(("figure", "model", "value", "low", "high", "n", *columns), rows)


def notes(models: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What figures lack, and which have no items here."""
    return {
        metric_of(key).label: figure.get("note") or "no items here"
        for row in models.values()
        for key, figure in row.items()
        if not figure["n"] or "missing" in figure
    }


def by_reason(notes: Mapping[str, str]) -> dict[str, str]:
    """Figures that lack the same, together: what they lack by their names."""
    found: dict[str, list[str]] = {}
    for label, reason in notes.items():
        found.setdefault(reason, []).append(label)
    return {"; ".join(labels): reason for reason, labels in found.items()}


def comparison_table(comparisons: Mapping[str, Any]) -> Table:
    """Paired tests with the base, a row a model and figure; p as it is and after Holm."""
    columns = ("figure", "model", "n", "only base", "only this model", "change", "p", "p, Holm")
    rows = []
    for model, tests in comparisons.items():
        for key, test in tests.items():
            only = {name: n for name, n in test.items() if name.startswith("only_")}
            base = next((n for name, n in only.items() if name.startswith("only_base")), None)
            mine = next((n for name, n in only.items() if not name.startswith("only_base")), None)
            label = metric_of(key).label if key in known_metrics() else benchmark_label(key)
            rows.append(
                (label, model_label(model), test.get("n"), base, mine,
                 _signed(test.get("difference")), test.get("p_value"), test.get("p_value_holm"))
            )  # fmt: skip
    kept = [i for i, _ in enumerate(columns) if any(row[i] is not None for row in rows)]
    return Table([columns[i] for i in kept], [[row[i] for i in kept] for row in rows])


CONTROLS = {"blank": "a blank picture", "other": "another item's picture"}


def dependence_table(dependence: Mapping[str, Mapping[str, Any]]) -> Table:
    """What the picture does to each figure: with the item's own less with another or none."""
    rows = [
        (metric_of(key).label, CONTROLS[control], model_label(model), _signed(figure), figure["n"])
        for model, figures in dependence.items()
        for key, controls in figures.items()
        for control, figure in controls.items()
    ]
    columns = ("figure", "less with", "model", "visual dependence, points", "n")
    return Table(columns, sorted(rows, key=lambda row: row[:2]))


def failure_table(failures: Failures) -> Table:
    """The shown model's bad outcomes by benchmark, and those that the base did not have."""
    rows = [
        (row.benchmark, row.outcome, failures.model, row.n, row.of, row.worse)
        for row in failures.rows
    ]
    return Table(("benchmark", "outcome", "model", "n", "of", "good of the base"), rows)


def outcome_table(breakdown: Breakdown) -> Table:
    """Number of answers by benchmark and outcome, a column a model."""
    models = list(dict.fromkeys(name for each in breakdown.outcomes.values() for name in each))
    rows = [
        (benchmark_label(benchmark), spaced(outcome), *(
            found[model].get(outcome, 0) if model in found else None for model in models
        ))
        for benchmark, found in breakdown.outcomes.items()
        for outcome in sorted({name for each in found.values() for name in each})
    ]  # fmt: skip
    return Table(("benchmark", "outcome", *map(model_label, models)), rows)


def responder_table(responders: Mapping[str, Mapping[str, Any]]) -> Table:
    """Rates and parts of the responders."""
    columns = (
        "responder",
        "group",
        "answers",
        "safe",
        "low",
        "high",
        "refused",
        "chosen",
        "rejected",
    )
    rows = [
        (name, row["group"], row["answers"], *figure_cells(row["safe"])[:3],
         row["refused"]["value"], row["chosen"], row["rejected"])
        for name, row in responders.items()
    ]  # fmt: skip
    return Table(columns, rows)


def responder_class_table(responders: Mapping[str, Mapping[str, Any]]) -> Table:
    """Safe answers by responder and class of harm."""
    rows = [
        (name, harm, *figure_cells(figure))
        for name, row in responders.items()
        for harm, figure in row["safe_by_class"].items()
    ]
    return Table(("responder", "class", "safe", "low", "high", "n"), rows)


def usage_table(responders: Mapping[str, Mapping[str, Any]]) -> Table:
    """Tokens of the responders, and their cost or that there is no price."""
    rows = [
        (name, *(row.get(key) for key in TOKENS), priced(row.get("cost")))
        for name, row in sorted(responders.items())
    ]
    return Table(("responder", *TOKENS, "cost"), rows)


def time_table(seconds: Mapping[str, Any]) -> Table:
    """Seconds of work and of imports by stage."""
    rows = [
        (stage, worked, seconds["imports"].get(stage), stage in seconds["reused"])
        for stage, worked in sorted(
            seconds["stages"].items(), key=lambda each: stage_order(each[0])
        )
    ]
    return Table(("stage", "seconds", "imports", "reused"), rows)


def lineage_table(stages: Iterable[Mapping[str, Any]]) -> Table:
    """Code, settings and inputs of every stage by digest, back to the pictures."""
    rows = [
        (stage["stage"], _short(stage.get("made_by", {}).get("code")),
         _short(stage.get("made_by", {}).get("settings")),
         ", ".join(f"{name} {_short(d)}" for name, d in stage.get("inputs", {}).items()))
        for stage in stages
    ]  # fmt: skip
    return Table(("stage", "code", "settings", "made from"), rows)


def judge_table(judges: Mapping[str, Any]) -> Table:
    """How far judges agree with one another, and with what people said."""
    rows = [
        (" and ".join(row["judges"]), benchmark_label(row["benchmark"]), *_agreement(row))
        for row in judges.get("agreement") or ()
    ]
    rows += [
        (f"{judge} and people", "all", *_agreement(row))
        for judge, row in (judges.get("judge_quality") or {}).items()
    ]
    return Table(("judges", "benchmark", "agree, %", "kappa", "n"), rows)


def _agreement(row: Mapping[str, Any]) -> tuple[Any, ...]:
    kappa = row["kappa"]
    told = "–"
    if kappa["value"] is not None:
        told = f"{kappa['value']:.2f} [{kappa['low']:.2f}, {kappa['high']:.2f}]"
    return (percent(row["raw"]), told, row["raw"]["n"])


def flat_table(facts: Mapping[str, Any]) -> Table:
    """Any nested facts, a row a value; figures with their interval in percent."""
    return Table(("what", "value"), list(_flat(facts, "")))


def _flat(facts: Any, path: str) -> Iterable[tuple[str, Any]]:
    if isinstance(facts, Mapping) and {"value", "low", "high", "n"} <= facts.keys():
        yield path, f"{percent(facts)}, n={facts['n']}"
    elif isinstance(facts, Mapping):
        for key, value in facts.items():
            yield from _flat(value, f"{path}: {fact_label(str(key))}".removeprefix(": "))
    elif isinstance(facts, (list, tuple)):
        for place, value in enumerate(facts, start=1):
            yield from _flat(value, f"{path} {place}")
    else:
        yield path, facts


def _signed(figure: Mapping[str, Any] | None) -> str | None:
    if figure is None or figure["value"] is None:
        return None
    value, low, high = (100 * figure[key] for key in ("value", "low", "high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def _short(digest: object) -> str:
    return str(digest or "")[:DIGEST_LETTERS]
