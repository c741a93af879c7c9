"""Scoring: judges all models' answers and makes the figures.

In: every model's answers, the benchmarks. Out: `figures.json` and a data set `verdicts/`.
Every figure is `{"value", "low", "high", "n", "source"}`. Photographs are counted under "plumbing":
nobody knows the truth about them, so they enter no figure. Benchmarks fit in memory (thousands of
items); answers are read as a stream.
"""

from collections.abc import Iterator
from typing import Any

from components.evaluation.figures import Scored, all_figures
from components.evaluation.verdicts import BenchmarkJudge
from spavl.errors import InputError
from spavl.records import EvalAnswer, EvalItem, EvalVerdict
from spavl.settings.evaluation import EvaluationSettings
from spavl.shards import read_manifest, read_records, write_json
from spavl.storage import local_copy
from spavl.work import Reference, Stage, Work, run_stage


def score(settings: dict[str, Any], answers: list[str], benchmarks: Reference, output: str) -> None:
    """Writes figures and verdicts.

    Args:
        settings: Raw `EvaluationSettings`.
        answers: Data sets of answers, one per model; the base's must be among them.
        benchmarks: The benchmarks' folder.
        output: Output folder.

    Raises:
        InputError: If the base's answers are missing or an answer has no item.
    """
    checked = EvaluationSettings.parse(settings, "evaluation")
    digests = sorted(read_manifest(path).digest for path in answers)
    stage = Stage(
        "scoring",
        "components.evaluation.scoring",
        {"seed": checked.seed, **checked.scoring.model_dump()},
        {"benchmarks": benchmarks.digest, **{f"answers-{i}": d for i, d in enumerate(digests)}},
    )
    run_stage(stage, lambda work: _body(work, checked, answers, benchmarks), {"figures": output})


def _body(
    work: Work, settings: EvaluationSettings, answers: list[str], benchmarks: Reference
) -> dict[str, Any]:
    rows = read_records(local_copy(f"{benchmarks.uri}/items"), EvalItem)
    items = {item.item_id: item for item in rows}
    base_help = {
        answer.item_id: answer.text
        for answer in _stream(answers)
        if answer.model == "base" and answer.benchmark == "help_eval"
    }
    judge = BenchmarkJudge(items.values(), base_help)
    scored = []
    with work.writer("figures/verdicts", EvalVerdict) as verdicts:
        for answer in _stream(answers):
            item = _item_of(answer, items, base_help)
            verdict = judge.verdict(item, answer)
            verdicts.add(verdict)
            scored.append(Scored(item, answer.model, verdict.outcome, verdict.score))
    figures = {
        "benchmarks": benchmarks.digest,
        "judges": judge.judge_ids,
        **all_figures(scored, settings.scoring, settings.seed),
    }
    write_json(work.folder / "figures" / "figures.json", figures)
    return figures


def _stream(answers: list[str]) -> Iterator[EvalAnswer]:
    for path in sorted(answers, key=lambda path: read_manifest(path).digest):
        yield from read_records(path, EvalAnswer)


def _item_of(answer: EvalAnswer, items: dict[str, EvalItem], base_help: dict[str, str]) -> EvalItem:
    item = items.get(answer.item_id)
    if item is None:
        raise InputError(
            f"an answer of {answer.model} to unknown item {answer.item_id}",
            "evaluation.scoring",
            "answer the same benchmarks that are scored",
        )
    if item.benchmark == "help_eval" and item.item_id not in base_help:
        raise InputError(
            f"no answer of the base to item {answer.item_id}",
            "evaluation.scoring",
            "let the base answer the same benchmarks",
        )
    return item
