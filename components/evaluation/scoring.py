"""Scoring: judges all models' answers and makes the figures.

In: every model's answers, the benchmarks. Out: `figures.json` and the data sets `verdicts/` (of the
first judge, who makes the figures) and `second_opinions/` (of the others).
Every figure is `{"value", "low", "high", "n", "source"}`. Photographs are counted under "plumbing":
nobody knows the truth about them, so they enter no figure. Benchmarks fit in memory (thousands of
items); answers are read as a stream.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from components.evaluation.attacks.figures import attack_figures
from components.evaluation.attacks.judged import attack_digests, judge_attacks
from components.evaluation.benchmarks import LABELS, MISSING, PICTURES
from components.evaluation.blind import visual_dependence
from components.evaluation.capabilities import CAPABILITIES, read_capabilities
from components.evaluation.comparisons import comparisons
from components.evaluation.correcting import corrected_figures
from components.evaluation.decodings import tell_decodings
from components.evaluation.figures import Making, Scored, all_figures, made_of
from components.evaluation.items import Missing, PictureCount
from components.evaluation.judging import Judge, Judged, task_of
from components.evaluation.metrics import CHAMPION, HELP, is_control
from components.evaluation.opinions import judge_quality, open_judges, second_opinions
from components.evaluation.outcomes import OUTCOMES, outcomes_of
from components.evaluation.pairs import columns_of
from components.evaluation.verdicts import BenchmarkJudge
from components.evaluation.well_formed import Forms, find_forms, reading_digests
from spavl.chat import Journal
from spavl.digests import code_digest, file_digest, json_digest
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.records import EvalAnswer, EvalItem, EvalVerdict, LabelledAnswer
from spavl.settings.attacks import AttackSettings
from spavl.settings.evaluation import EvaluationSettings
from spavl.shards import read_manifest, read_records, write_json
from spavl.storage import local_copy
from spavl.work import Reference, Stage, Work, run_stage, what_matters

JUDGES = ("verdicts", "refusal_judge", "moderation_judge", "chat_judge", "well_formed")
"""Modules whose code says what an answer counts."""
_ANSWERS_AT_ONCE = 1024  # bounds the pictures that a judge holds at once


def score(settings: dict[str, Any], answers: list[str], benchmarks: Reference, output: str) -> None:
    """Writes figures and verdicts.

    Args:
        settings: Raw `EvaluationSettings`.
        answers: Data sets of answers, one per model; the base's must be among them, the reigning
            champion's may be, and may be empty.
        benchmarks: The benchmarks' folder.
        output: Output folder.

    Raises:
        InputError: If the base's answers are missing or an answer has no item.
    """
    checked = EvaluationSettings.parse(settings, "evaluation")
    digests = sorted(read_manifest(path).digest for path in answers)
    measured = sorted(
        file_digest(found) for path in answers if (found := Path(path) / CAPABILITIES).is_file()
    )
    stage = Stage(
        "scoring",
        "components.evaluation.scoring",
        {
            "seed": checked.seed,
            "threads": checked.threads,
            "suites": sorted(checked.asked),
            "judges": [judge.model_dump(mode="json") for judge in checked.judges],
            "attacks": checked.attacks and checked.attacks.model_dump(mode="json"),
            "decoding": checked.answering.model_dump(include={"temperature", "top_p"}),
            **checked.scoring.model_dump(),
        },
        {
            "benchmarks": benchmarks.digest,
            **{f"answers-{i}": digest for i, digest in enumerate(digests)},
            **{f"capabilities-{i}": digest for i, digest in enumerate(measured)},
            **attack_digests(answers),
            **reading_digests(answers),
        },
    )
    run_stage(stage, lambda work: _body(work, checked, answers, benchmarks), {"figures": output})


def _body(
    work: Work, settings: EvaluationSettings, answers: list[str], benchmarks: Reference
) -> dict[str, Any]:
    folder = local_copy(benchmarks.uri)
    items = {item.item_id: item for item in read_records(folder / "items", EvalItem)}
    base_help = {
        answer.item_id: answer.text
        for answer in _stream(answers)
        if answer.model == "base" and answer.benchmark in HELP
    }
    rules = BenchmarkJudge(items.values(), base_help)
    making = _making(folder, settings, items)
    labelled = list(read_records(folder / LABELS, LabelledAnswer)) if settings.published else []
    with (
        Journal(work.checkpoint / "verdicts.jsonl") as journal,
        open_judges(settings, rules, base_help, _Pictures(folder), journal) as judges,
    ):
        judged = ((_item_of(answer, items, base_help), answer) for answer in _stream(answers))
        scored = _judge(work, judges, _Rules(rules, find_forms(answers)), judged)
        attacked = judge_attacks(work, judges[0], answers, items)
        quality = judge_quality(judges, labelled, items, making)
    answered_by, told = _answered_by(answers), scored[judges[0].judge_id]
    first = [row for row in told if not is_control(row.item.benchmark)]
    figures: dict[str, Any] = {
        "benchmarks": benchmarks.digest,
        "judges": rules.judge_ids if judges[0] is rules else {"all": judges[0].judge_id},
        "answered_by": answered_by,
        "champion": answered_by.get(CHAMPION),
        "conditions": _conditions(settings, benchmarks, answered_by.get("base")),
        "made_of": made_of(making),
        **all_figures(first, making),
        "comparisons": comparisons(first, making),
        "visual_dependence": visual_dependence(told, making),
        **second_opinions(scored, making),
        "judge_quality": quality,
        "attacks": attack_figures(
            attacked, settings.attacks or AttackSettings(), settings.scoring.confidence
        ),
        "capabilities": _capabilities(answers),
    }
    write_json(work.folder / "figures" / OUTCOMES, outcomes_of(first, making))
    figures = corrected_figures(figures, settings.scoring.confidence)
    tell_decodings(figures, settings.answering)
    write_json(work.folder / "figures" / "figures.json", figures)
    return figures


class _Rules(NamedTuple):
    """What is read off answers by rule, whoever judges them."""

    judge: BenchmarkJudge
    forms: Forms


def _judge(
    work: Work, judges: Sequence[Judge], rules: _Rules, judged: Iterator[Judged]
) -> dict[str, list[Scored]]:
    """Lets every judge judge every answer; the first's verdicts are the ones that reports show.

    Names and photographs are read by rule, whoever the first judge is, and so is an answer's form.
    Blind controls are for the first judge alone.
    """
    scored: dict[str, list[Scored]] = {judge.judge_id: [] for judge in judges}
    with (
        work.writer("figures/verdicts", EvalVerdict) as first,
        work.writer("figures/second_opinions", EvalVerdict) as others,
    ):
        while chunk := list(islice(judged, _ANSWERS_AT_ONCE)):
            items = {item.item_id: item for item, _ in chunk}
            first_is_rules = judges[0] is rules.judge
            plain = [] if first_is_rules else [pair for pair in chunk if not task_of(pair[0])]
            seen = [pair for pair in chunk if not is_control(pair[0].benchmark)]
            formed = (rules.forms.scored(*pair) for pair in seen)
            scored[judges[0].judge_id] += [row for row in formed if row is not None]
            for judge in judges:
                writer, mine = (first, chunk) if judge is judges[0] else (others, seen)
                by_rule = rules.judge.verdicts(plain) if judge is judges[0] else ()
                for told in map(rules.forms.judged, chain(judge.verdicts(mine), by_rule)):
                    writer.add(told)
                    row = Scored(items[told.item_id], told.model, told.outcome, told.score)
                    scored[judge.judge_id].append(row)
    return scored


class _Pictures:
    """The benchmarks' pictures, opened when a judge first wants one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _store(self) -> ImageStore:
        return ImageStore(str(self._folder / "images"))

    def __call__(self, image_id: str) -> bytes:
        return self._store.content(image_id)


def _answered_by(answers: list[str]) -> dict[str, str]:
    """Digest of each model that answered."""
    found = {}
    for path in answers:
        first = next(iter(read_records(path, EvalAnswer)), None)
        if first is not None and (digest := read_manifest(path).inputs.get("model")):
            found[first.model] = digest
    return found


def _conditions(settings: EvaluationSettings, benchmarks: Reference, base: str | None) -> str:
    """Digest of what figures of two runs must have in common to be compared."""
    return json_digest(
        {
            "benchmarks": benchmarks.digest,
            "answering": what_matters(settings.answering.model_dump(mode="json")),
            "judges": what_matters([judge.model_dump(mode="json") for judge in settings.judges]),
            "code": [code_digest(f"components.evaluation.{name}") for name in JUDGES],
            "base": base,
        }
    )


def _capabilities(answers: list[str]) -> dict[str, Any]:
    """lmms-eval's figures by model; empty where none were asked for."""
    told = [found for path in answers if (found := read_capabilities(path))]
    return {found["model"]: found["figures"] for found in told}


def _making(folder: Path, settings: EvaluationSettings, items: Mapping[str, EvalItem]) -> Making:
    """How figures are made; what published benchmarks lack is known where they were asked."""
    found = {"held_out"} & {item.source for item in items.values()}  # not every data set has any
    suites = settings.asked - {"held_out"} | found
    if settings.published is None:
        return Making(settings.scoring, settings.seed, suites=suites)
    tables = columns_of(item for item in items.values() if not is_control(item.benchmark))
    missing = [Missing(**row) for row in json.loads((folder / MISSING).read_text())]
    pictures = [PictureCount(**row) for row in json.loads((folder / PICTURES).read_text())]
    return Making(settings.scoring, settings.seed, missing, pictures, suites, tables)


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
    if item.benchmark in HELP and item.item_id not in base_help:
        raise InputError(
            f"no answer of the base to item {answer.item_id}",
            "evaluation.scoring",
            "let the base answer the same benchmarks",
        )
    return item
