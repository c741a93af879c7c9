"""Several judges at once: who they are, how far they agree, and what people say of them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from itertools import combinations
from typing import Any

from components.evaluation.chat_judge import ChatJudge, RubricJudge
from components.evaluation.correcting import told_errors
from components.evaluation.figures import Making, Scored, by_model, counts
from components.evaluation.items import clusters_of
from components.evaluation.judging import Judge, Judged, Pictures
from components.evaluation.moderation_judge import ModerationJudge
from components.evaluation.refusal_judge import RefusalJudge
from components.evaluation.verdicts import BenchmarkJudge
from spavl.chat import ChatModel, Journal
from spavl.chat.spending import Purse
from spavl.judges.chat_moderation import ChatModerator, sees_pictures
from spavl.records import EvalAnswer, EvalItem, EvalVerdict, LabelledAnswer
from spavl.seeds import derive_seed
from spavl.settings.evaluation import EvaluationSettings, JudgeSettings
from spavl.statistics import agreement

_LABELLED_BY = "people"
OpenModel = Callable[..., AbstractContextManager[ChatModel]]
"""As `spavl.chat.open_chat`."""


@contextmanager
def open_judges(
    settings: EvaluationSettings,
    rules: BenchmarkJudge,
    base_help: Mapping[str, str],
    pictures: Pictures,
    journal: Journal,
    open_model: OpenModel | None = None,
) -> Iterator[list[Judge]]:
    """The judges that settings describe, for as long as the context lasts.

    Args:
        settings: The stage's.
        rules: The rule judge, which the items' names belong to.
        base_help: The base's answers to help items.
        pictures: The encoded picture of an id.
        journal: Where a model's replies are kept, so that none is asked for twice.
        open_model: Opens a judge's model; None opens what its settings say.
    """
    purse = Purse("scoring", settings.budget)

    def opened(judge: JudgeSettings) -> Judge:
        model = judge.chat or (judge.moderator and judge.moderator.chat)
        if model is None:
            return rules if judge.kind == "rules" else RefusalJudge(judge.id)
        from spavl.chat.backends import open_chat

        open_ = open_model or open_chat
        chat = stack.enter_context(open_(model, journal, None, settings.threads, purse))
        seed = derive_seed(settings.seed, "judge", judge.id)
        if judge.moderator:
            looks = pictures if sees_pictures(judge.moderator) else None
            return ModerationJudge(judge.id, ChatModerator(chat, judge.moderator, seed), looks)
        asks = RubricJudge if judge.kind == "rubric" else ChatJudge
        return asks(judge.id, chat, pictures, judge.sampling.sampling(seed), base_help)

    with ExitStack() as stack:
        yield [opened(judge) for judge in settings.judges]


def second_opinions(by_judge: Mapping[str, list[Scored]], making: Making) -> dict[str, Any]:
    """Figures of every judge but the first, and how far each two agree, benchmark by benchmark.

    Args:
        by_judge: Each judge's scores; the first judge's make the headline.
        making: How figures are made.
    """
    return {
        "by_judge": {
            judge: _told(by_model(rows, sorted({row.model for row in rows}), making))
            for judge, rows in list(by_judge.items())[1:]
        },
        "agreement": [
            {"judges": [one, other], "benchmark": benchmark, **told}
            for one, other in combinations(by_judge, 2)
            for benchmark, told in _agreement(by_judge[one], by_judge[other], making).items()
        ],
    }


def judge_quality(
    judges: Iterable[Judge],
    labelled: Iterable[LabelledAnswer],
    items: Mapping[str, EvalItem],
    making: Making,
) -> dict[str, Any]:
    """Each judge against what people said of published answers; empty where there are none.

    Under `errors` its sensitivity and specificity, by the key of the figure whose outcome they
    are about.
    """
    rows = list(_labelled(labelled, items))
    found: dict[str, Any] = {}
    for judge in judges if rows else ():
        labels = {answer.answer_id: label for (_, answer), label in rows}
        verdicts = list(judge.verdicts([pair for pair, _ in rows]))
        told_by = {answer.answer_id: clusters_of(item) for (item, answer), _ in rows}
        given = [v for v in verdicts if v.score is not None]
        pairs = [(v.outcome, labels[v.answer_id]) for v in given]
        shared = [told_by[v.answer_id] for v in given]
        told = agreement(pairs, shared, making.settings.confidence)
        found[judge.judge_id] = {**asdict(told), "without_verdict": len(verdicts) - len(pairs)}
        found[judge.judge_id]["errors"] = _errors(verdicts, rows, making)
    return found


def _errors(
    verdicts: Iterable[EvalVerdict], rows: Iterable[tuple[Judged, str]], making: Making
) -> dict[str, Any]:
    by_id = {answer.answer_id: (item, label) for (item, answer), label in rows}
    given = [(*by_id[v.answer_id], v.outcome) for v in verdicts if v.score is not None]
    return told_errors(given, making.metrics, making.settings.confidence)


def _labelled(
    labelled: Iterable[LabelledAnswer], items: Mapping[str, EvalItem]
) -> Iterator[tuple[Judged, str]]:
    for number, row in enumerate(labelled):
        if row.item_id in items:
            item = items[row.item_id]
            answer = EvalAnswer(
                f"{_LABELLED_BY}-{number}",
                item.item_id,
                item.benchmark,
                _LABELLED_BY,
                item.image_id,
                item.question,
                row.text,
                "stop",
            )
            yield (item, answer), row.label


def _told(figures: dict[str, Any]) -> dict[str, Any]:
    """Only what this judge has judged."""
    return {
        model: {key: figure for key, figure in each.items() if figure["n"]}
        for model, each in figures.items()
    }


def _agreement(one: list[Scored], other: list[Scored], making: Making) -> dict[str, Any]:
    """Agreement on whether an answer counts, over the answers that both gave a verdict on."""
    seen = {(row.model, row.item.item_id): row.score for row in other if row.score is not None}
    labels: dict[str, list[tuple[str, str]]] = defaultdict(list)
    clusters: dict[str, list[tuple[str | None, ...]]] = defaultdict(list)
    for row in one:
        score = seen.get((row.model, row.item.item_id))
        if score is not None and row.score is not None:
            labels[row.item.benchmark].append((str(counts(row.score)), str(counts(score))))
            clusters[row.item.benchmark].append(clusters_of(row.item))
    return {
        name: asdict(agreement(pairs, clusters[name], making.settings.confidence))
        for name, pairs in sorted(labels.items())
    }
