"""Several runs that differ in their seed, and figures with intervals that hold seeds and items.

A seed collects, asks, answers, labels and trains anew. Base and benchmarks are those of the first
seed: all models answer the same items, sampled alike.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.configuration import resolve
from components.evaluation.outcomes import Outcomes, read_outcomes
from components.reporting.labels import MODELS, known_metrics, metric_of
from components.reporting.summary import percent
from pipelines.local_run import SUMMARY, RunRequest, run_pipeline, start_run
from spavl.shards import write_json
from spavl.statistics import seeded_mean
from spavl.storage import local_copy

if TYPE_CHECKING:
    from rich.table import Table

    from pipelines.display import LogFormat

SEEDS = "seeds.json"
_SHARED = ("base_model", "evaluation")


def seeded_requests(request: RunRequest, count: int) -> dict[int, RunRequest]:
    """The runs that are to be made, by seed: the settings' own and those that follow it."""
    settings = resolve(request.profile, request.overrides)._asdict()
    shared = tuple(f"{stage}.seed={settings[stage]['seed']}" for stage in _SHARED)
    first = int(settings["dpo"]["seed"])
    return {
        seed: replace(request, overrides=(*request.overrides, f"seed={seed}", *shared))
        for seed in range(first, first + count)
    }


def run_seeds(
    request: RunRequest, count: int, out: Path, name: str | None, log: "LogFormat"
) -> tuple[Path, dict[str, Any]]:
    """Runs the DAG for each seed and writes `seeds.json` beside the first run's summary.

    Returns:
        The first run's folder, and what `seeds.json` says.
    """
    folders: dict[int, Path] = {}
    for seed, each in seeded_requests(request, count).items():
        called = name if not folders else f"{folders[min(folders)].name}-seed-{seed}"
        folders[seed] = start_run(each, out, called)
        if log != "json":
            print(f"seed {seed}: run {folders[seed].name}", flush=True)
        run_pipeline(each, folders[seed], out, log)
    first = folders[min(folders)]
    told = over_seeds(folders)
    write_json(first / SEEDS, told)
    return first, told


def over_seeds(folders: Mapping[int, Path]) -> dict[str, Any]:
    """Mean, interval and spread of every figure over the seeds' runs.

    Args:
        folders: Finished runs by seed.
    """
    summaries = [json.loads((folder / SUMMARY).read_text()) for folder in folders.values()]
    outcomes = [_outcomes(folder) for folder in folders.values()]
    models = {
        model: {
            key: _figure([each["models"][model][key] for each in summaries], outcomes, model, key)
            for key in known_metrics()
            if all(key in each["models"].get(model, {}) for each in summaries)
        }
        for model in MODELS
    }
    return {
        "seeds": list(folders),
        "runs": [folder.name for folder in folders.values()],
        "models": models,
        "reward_model": [each["reward_model"]["pair_accuracy"] for each in summaries],
        "promoted": [
            each["decision"]["candidate"] if each["decision"]["promoted"] else None
            for each in summaries
        ],
    }


def seeds_table(told: Mapping[str, Any]) -> "Table":
    """The before/after table over seeds, for a terminal."""
    from rich.table import Table

    seeds = ", ".join(map(str, told["seeds"]))
    table = Table(
        title=f"Before and after alignment, seeds {seeds}: %, 95% interval of seeds and items",
        caption="In brackets the interval, below it the least and the most of any seed.",
        box=None,
        padding=(0, 1, 0, 0),
    )
    table.add_column("figure", no_wrap=True)
    for model in MODELS:
        table.add_column(model, justify="right", no_wrap=True)
    for key in told["models"]["base"]:
        cells = [told["models"][model][key] for model in MODELS]
        if cells[0]["n"]:
            metric = metric_of(key)
            table.add_row(f"{metric.short} {metric.arrow}", *map(_cell, cells))
    return table


def _figure(
    figures: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcomes], model: str, key: str
) -> dict[str, Any]:
    """One figure over seeds, on the items that all seeds have a verdict on."""
    scores = [each.of(model, key) for each in outcomes]
    shared = sorted(set.intersection(*({*each} for each in scores)))
    items = outcomes[0].items
    clusters = [tuple(items[item]["clusters"]) for item in shared]
    found = seeded_mean([[each[item] for item in shared] for each in scores], clusters)
    return {
        **asdict(found),
        "source": figures[0]["source"],
        "by_seed": [f["value"] for f in figures],
    }


def _outcomes(folder: Path) -> Outcomes:
    told = json.loads((folder / "stages" / "scoring.json").read_text())
    return read_outcomes(local_copy(told["work"]) / "figures")


def _cell(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "–"
    least, most = (100 * each(figure["by_seed"]) for each in (min, max))
    return f"{percent(figure)}\n{least:.1f}-{most:.1f}"
