"""`summary.json`: one run in figures, each with its interval and where it came from."""

import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.reporting.attacks import efforts, hardest_rows
from components.reporting.capabilities import capability_lines, capability_rows, unmeasured
from components.reporting.figures import percent
from components.reporting.files import local_path, read_json, read_optional
from components.reporting.inputs import ReportInputs
from components.reporting.labels import MODELS, Metric, known_metrics, metric_of, model_label
from components.reporting.quarantine import file_quarantine, quarantine_line, visible
from components.reporting.responders import responders_in_figures
from components.reporting.rules import rules_told
from components.reporting.spending import run_spending
from spavl.digests import json_digest
from spavl.environment import run_folder
from spavl.headline import Headline, headline
from spavl.records import Image, Question, Response, SetAside
from spavl.shards import read_manifest, read_rows
from spavl.statistics import rate

if TYPE_CHECKING:
    from rich.table import Table

JUDGED = ("by_judge", "agreement", "judge_quality")
"""What several judges say of the same answers, and people of the judges."""


def build_summary(inputs: ReportInputs) -> dict[str, Any]:
    """Everything `summary.json` says, from one run's results.

    Raises:
        InputError: If a result is missing; the message names it.
    """
    decision = read_json(inputs.decision, "decision.json")
    settings = read_json(inputs.settings, "settings.json")
    figures = read_json(inputs.figures, "figures.json")
    models = figures["models"]
    rows = _rows(inputs)
    return {
        "models": models,
        "harm_eval_usr_by_kind": figures.get("harm_eval_usr_by_kind", {}),
        "comparisons": figures.get("comparisons", {}),
        "visual_dependence": figures.get("visual_dependence", {}),
        "capabilities": figures.get("capabilities", {}),
        "attacks": figures.get("attacks", {}),
        "plumbing": figures.get("plumbing", {}),
        "reward_model": _reward_model(inputs, models),
        "data": {**rows, "set_aside": _set_aside(inputs)},
        "imported": _imported(inputs),
        "quarantine": file_quarantine(inputs.images),
        "responders": responders_in_figures(inputs, settings),
        "spending": run_spending(),
        "labeling_judge": (
            read_optional(inputs.preferences, "agreement.json") if inputs.preferences else {}
        ),
        "reigning": figures.get("halves", {}).get("deciding", {}).get("champion"),
        "judges": judges_of(figures),
        "seconds": _seconds(stage_reports()),
        "decision": decision,
        "champion": _champion(decision, inputs),
        "made_by": {
            "commit": _commit(),
            "settings": settings,
            "settings_digest": json_digest(settings),
            "inputs": _digests(inputs),
        },
    }


def summary_table(summary: Mapping[str, Any]) -> "Table":
    """The before/after table for a terminal, under the run's headline."""
    from rich.markup import escape
    from rich.table import Table

    rows = metric_rows(summary["models"])
    by_source: dict[str, list[tuple[Metric, dict[str, dict[str, Any]]]]] = {}
    for metric, row in rows:
        some = next(figure for figure in row.values() if figure["n"])
        by_source.setdefault(some.get("source") or "", []).append((metric, row))
    alone = f", source {next(iter(by_source))}" if len(by_source) == 1 else ""
    told = headline_of(summary)
    title = f"Before and after alignment: %, 95% interval{alone}"
    table = Table(
        title=escape(f"{told.sentence}\n{told.caveat}\n\n{title}"),
        title_justify="left",
        caption=_caption(summary, rows),
        box=None,
        padding=(0, 1, 0, 0),  # 80 columns hold it
    )
    table.add_column("figure", no_wrap=True)
    for model in MODELS:
        table.add_column(model, justify="right", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    for source, group in by_source.items():
        if not alone:  # figures of different sources are not to be read as one column
            table.add_row(f"– source {source}")
        for metric, row in group:
            some = next(figure for figure in row.values() if figure["n"])
            values = (percent(row.get(model)).replace("100.0", "100") for model in MODELS)
            table.add_row(f"{metric.short} {metric.arrow}", *values, str(some["n"]))
    _add_attacks(table, summary["attacks"])
    return table


def _add_attacks(table: "Table", attacks: Mapping[str, Any]) -> None:
    """Harm under the hardest attacks, below the other figures."""
    if rows := hardest_rows(attacks):
        table.add_row("– under attack")
    for row in rows:
        values = (percent(row.figures.get(model)).replace("100.0", "100") for model in MODELS)
        table.add_row(f"{row.short} ↓", *values, str(row.n))


def table_text(summary: Mapping[str, Any]) -> str:
    """The same table as plain text, for whoever reads of the run in a pod's log."""
    import io

    from rich.console import Console

    shown = io.StringIO()
    Console(file=shown, width=80).print(summary_table(summary))
    return "\n".join(line.rstrip() for line in shown.getvalue().rstrip().splitlines())


def judges_of(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The judges by what they judge, and what is known of them."""
    return figures.get("judges", {}) | {key: figures.get(key, {}) for key in JUDGED}


def headline_of(summary: Mapping[str, Any]) -> Headline:
    """The sentence and the caveat of a summary."""
    gate = summary["made_by"]["settings"].get("gate", {})
    return headline(summary["models"], summary["decision"], summary["judges"], gate)


def decision_line(decision: Mapping[str, Any]) -> str:
    """What the gate decided, and by which rules and numbers it refused."""
    if decision["promoted"]:
        return f"Promoted: {model_label(decision['candidate'])}."
    failed = rules_told([rule for rule in decision["rules"] if not rule["holds"]])
    return f"Nothing promoted: {failed or 'no candidate'}."


def reference_line(decision: Mapping[str, Any]) -> str:
    """Where the best of the line could not be compared with; empty where it could."""
    anew = [name for name, best in decision.get("best", {}).items() if best["anew"]]
    carried = [name for name in anew if decision["best"][name]["carried"] > 0]
    if not anew:
        return ""
    used = f"; what it was behind is taken off the margin: {', '.join(carried)}" if carried else ""
    return f"No comparable answers of the line's best: the reigning champion stands for it{used}."


def metric_rows(
    models: Mapping[str, Mapping[str, Any]],
) -> list[tuple[Metric, dict[str, dict[str, Any]]]]:
    """Figures with items behind them: (metric, {model: figure}), the known ones first."""
    known = list(known_metrics())
    keys = known + sorted({key for row in models.values() for key in row} - set(known))
    rows = [
        (metric_of(key), {name: figures[key] for name, figures in models.items() if key in figures})
        for key in keys
    ]
    return [(metric, row) for metric, row in rows if any(figure["n"] for figure in row.values())]


def drawn_pictures(row: Mapping[str, Mapping[str, Any]]) -> str:
    """Of how many pictures behind a figure the benchmark's own were absent; empty where of none."""
    pictures = next((figure["pictures"] for figure in row.values() if "pictures" in figure), {})
    if not pictures.get("drawn"):
        return ""
    return f"pictures: {pictures['drawn']} drawn here from the key phrases, {pictures['read']} read"


def corrected_line(metric: Metric, row: Mapping[str, Mapping[str, Any]]) -> str:
    """A figure corrected for its judge's errors; empty where nobody knows them."""
    told = [f"{name} {percent(row[name]['corrected'])}" for name in row if "corrected" in row[name]]
    return f"{metric.short}, corrected for the judge's errors: {', '.join(told)}." if told else ""


def decoding_line(rows: Iterable[tuple[Metric, Mapping[str, Mapping[str, Any]]]]) -> str:
    """How the answers behind each figure were decoded, figures of one decoding together."""
    found: dict[str, list[str]] = {}
    for metric, row in rows:
        for decoding in {each["decoding"] for each in row.values() if "decoding" in each}:
            found.setdefault(decoding, []).append(metric.short)
    return "; ".join(f"{decoding}: {', '.join(names)}" for decoding, names in found.items())


def _caption(
    summary: Mapping[str, Any], rows: Iterable[tuple[Metric, Mapping[str, Mapping[str, Any]]]]
) -> str:
    from rich.markup import escape

    accuracy = summary["reward_model"]["pair_accuracy"]
    ranked = f"{percent(accuracy)} of {accuracy['n']} held-out pairs ranked right"
    lines = [f"Reward model: {ranked if accuracy['n'] else 'no held-out pairs to rank'}."]
    lines.append("Intervals hold items, not training: each model was trained once.")
    lines += [decision_line(summary["decision"]), reference_line(summary["decision"])]
    rows = list(rows)
    if decoded := decoding_line(rows):
        lines.append(f"Decoding: {decoded}.")
    if tried := efforts(summary["attacks"]):
        lines.append(f"Attacks on each model: {tried}.")
    if imported := summary["imported"]:
        lines.append(f"Data set of {imported['n']} preferences imported: {imported['source']}.")
    lines += [f"{metric.short}, {drawn}." for metric, row in rows if (drawn := drawn_pictures(row))]
    lines += [told for metric, row in rows if (told := corrected_line(metric, row))]
    capabilities = capability_rows(summary["capabilities"])
    lines += capability_lines(capabilities)
    lines += [f"lmms-eval, {name}: {note}." for name, note in unmeasured(capabilities).items()]
    if summary["data"]["images"]["unknown"]:
        lines.append("Pictures of unknown truth took part: plumbing, not safety.")
    lines.append(quarantine_line(summary["quarantine"]))
    return escape("\n".join(visible(line) for line in lines if line))


def _reward_model(inputs: ReportInputs, models: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Accuracy over the held-out pairs whose picture's truth is known; the others are plumbing.

    Where no truth is known at all, it is taken over all pairs and says so by its source.
    """
    metrics = read_json(inputs.reward_model, "metrics.json")
    by_truth = metrics.get("test", {}).get("by_truth", {})
    known = [each for truth, each in by_truth.items() if truth != "unknown" and each["n"]]
    if not known:
        source = "photographs" if by_truth else _source(models)
        return {"pair_accuracy": {"source": source, **metrics["pair_accuracy"]}}
    right = sum(round(figure["value"] * figure["n"]) for figure in known)
    accuracy = asdict(rate(right, sum(figure["n"] for figure in known)))
    return {"pair_accuracy": {"source": _source(models), **accuracy}}


def _source(models: Mapping[str, Mapping[str, Any]]) -> str:
    """Where the run's own items come from; published benchmarks beside them do not tell."""
    figures = (figure for row in models.values() for figure in row.values())
    sources = {figure["source"] for figure in figures if figure["n"]}
    return next((name for name in ("pocket", "published") if name in sources), "")


def _rows(inputs: ReportInputs) -> dict[str, dict[str, int]]:
    """Rows of every data set, from the manifests; pictures by truth, questions by kind."""
    truths = _count(local_path(inputs.images), Image, "truth")
    rows = {"images": {name: truths.get(name, 0) for name in ("harmful", "harmless", "unknown")}}
    rows["images"]["rows"] = truths.total()
    if inputs.questions:
        rows["questions"] = _count(Path(inputs.questions), Question, "kind")
        rows["questions"]["rows"] = rows["questions"].total()
        rows["responses"] = _responses(inputs.responses)
    for name in ("verdicts", "pairs", "preferences", "train", "validation", "test", "rollouts"):
        if folder := getattr(inputs, name):
            rows[name] = {"rows": read_manifest(folder).rows}
    return rows


def _responses(folders: Iterable[str]) -> dict[str, int]:
    """How many answers, and how many of them have which flag."""
    found = {"rows": 0, "cut_off": 0, "looping": 0, "empty": 0}
    for folder in folders:
        found["rows"] += read_manifest(folder).rows
        for row in read_rows(folder, Response, ["flags"], verify=False):
            for flag in row["flags"]:
                found[flag] = found.get(flag, 0) + 1
    return found


def _imported(inputs: ReportInputs) -> dict[str, Any] | None:
    """Whence a data set came that the run was given, and its number of preferences."""
    if not inputs.imported:
        return None
    splits = (inputs.train, inputs.validation, inputs.test)
    return {**inputs.imported, "n": sum(read_manifest(split).rows for split in splits)}


def _count(folder: Path, record: type, column: str) -> Counter[str]:
    return Counter(row[column] for row in read_rows(folder, record, [column], verify=False))


def stage_reports() -> list[dict[str, Any]]:
    """What each stage said of itself in the run folder; nothing outside a run."""
    folder = run_folder()
    files = sorted((folder / "stages").glob("*.json")) if folder else []
    return [read_json(file, file.name) for file in files]


def _seconds(stages: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Seconds of work per stage, imports apart; `total` leaves out what an earlier run had done."""
    stages = list(stages)
    fresh = [stage for stage in stages if not stage["reused"]]
    return {
        "stages": {stage["stage"]: stage["seconds"] for stage in stages},
        "imports": {stage["stage"]: stage["imports"] for stage in stages},
        "reused": [stage["stage"] for stage in stages if stage["reused"]],
        "total": round(sum(stage["seconds"] + stage["imports"] for stage in fresh), 3),
    }


def _set_aside(inputs: ReportInputs) -> dict[str, dict[str, int]]:
    """Rows set aside, by stage and reason, from the data sets that lie beside the rows kept."""
    made = (inputs.questions, *inputs.responses, inputs.pairs, inputs.preferences, inputs.train)
    places = (inputs.images, *made)
    found: dict[str, Counter[str]] = {}
    for place in filter(None, places):
        for folder in sorted(local_path(place).glob("set_asides")):
            for row in read_rows(folder, SetAside, ["stage", "reason"], verify=False):
                found.setdefault(row["stage"], Counter())[row["reason"]] += 1
    return {stage: dict(sorted(reasons.items())) for stage, reasons in found.items()}


def _champion(decision: Mapping[str, Any], inputs: ReportInputs) -> dict[str, Any] | None:
    if not decision["promoted"]:
        return None
    folder = inputs.models[decision["candidate"]]
    digest = read_json(folder, "model.json")["digest"]
    return {"model": decision["candidate"], "digest": digest}


def _digests(inputs: ReportInputs) -> dict[str, str]:
    """Content digests that name exactly what the figures were computed from."""
    sets = {
        "images": local_path(inputs.images),
        "preferences": inputs.preferences,
        "train": inputs.train,
        "test": inputs.test,
        "benchmark_items": local_path(inputs.benchmarks) / "items",
    }
    models = {
        name: read_json(folder, "model.json")["digest"] for name, folder in inputs.models.items()
    }
    digests = {name: read_manifest(folder).digest for name, folder in sets.items() if folder}
    return {**digests, **models}


def _commit() -> str | None:
    """The commit of the checkout that runs, if it runs from one."""
    ask = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
