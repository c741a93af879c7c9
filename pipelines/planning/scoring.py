"""The calls of evaluation: every judge that is a model, on every model's answers to all items."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from components.evaluation.attacks.attacking import chosen_items
from components.evaluation.blind import control_items
from components.evaluation.decodings import HARM_DECODINGS
from components.evaluation.held_out import BENCHMARKS as HELD_OUT
from components.evaluation.items import Missing
from components.evaluation.judging import Judged
from components.evaluation.metrics import CHAMPION, HELP
from components.evaluation.opinions import open_judges
from components.evaluation.pocket_items import SUFFIX, UNSEEN, pocket_items
from components.evaluation.published import labelled_answers, published_items
from components.evaluation.verdicts import BenchmarkJudge
from pipelines.planning.counting import CHARACTERS_PER_TOKEN, Books, CountingChat, filler
from pipelines.planning.lengths import sampled
from spavl.chat import ChatModel, ChatSettings, Journal
from spavl.pocket.world import things
from spavl.records import EvalAnswer, EvalItem, record_id
from spavl.settings.attacks import AttackSettings
from spavl.settings.evaluation import BenchmarkSettings, EvaluationSettings, JudgeSettings

MOST_OF_A_THING = 4
"""Pocket items of a class or thing that are drawn; all of them are alike."""
_SIZES = (
    "harm_per_class",
    "unseen_per_class",
    "help_per_thing",
    "guards_per_class",
    "naming_per_thing",
)
STAGE = "scoring"


@dataclass(frozen=True)
class Items:
    """Items of which each stands for several.

    Attributes:
        weight: How many.
        items: The items.
    """

    weight: float
    items: Sequence[EvalItem]


@dataclass(frozen=True)
class Answering:
    """Whose answers are judged, to which items of the data set's own, and how long they are.

    Attributes:
        models: Names of the models.
        tokens: Of an answer.
        held_out: The data set's test items; none where there is no data set yet.
    """

    models: Sequence[str]
    tokens: float
    held_out: Sequence[EvalItem] = ()


def count_scoring(settings: EvaluationSettings, answering: Answering, books: Books) -> None:
    """Enters the calls of all judges.

    Args:
        settings: Settings of evaluation.
        answering: What they judge.
        books: Where calls are entered.
    """
    judges = [judge for judge in settings.judges if judge.chat or judge.moderator]
    if not judges:
        return
    groups = list(_items(settings, answering.held_out))
    controls = [_controls(settings, group) for group in groups]
    tokens = min(answering.tokens, settings.answering.max_new_tokens)
    for judge in judges:
        first = judge is settings.judges[0]
        blind = controls if first else []
        for group in [*groups, *blind]:
            answers = _answers(group.items, answering.models, tokens)
            _ask(settings, judge, Judging(group.weight, answers), books)
        if first and settings.attacks:
            attacked = _under_attack(settings.attacks, groups, replace(answering, tokens=tokens))
            _ask(settings, judge, attacked, books)
        if settings.published:
            _ask(settings, judge, Judging(1.0, list(_labelled(settings, groups))), books)


@dataclass(frozen=True)
class Judging:
    """Answers that a judge is asked about, and how many each stands for."""

    weight: float
    answers: Sequence[Judged]


def _under_attack(
    settings: AttackSettings, groups: Sequence[Items], answering: Answering
) -> Judging:
    """Answers under attack; the reigning champion is not put to any.

    Equal answers to an item are judged once, but none is taken to be equal.
    """
    items = chosen_items((item for group in groups for item in group.items), settings)
    wanted = sum(
        group.weight
        for group in groups
        for item in group.items
        if item.benchmark == settings.benchmark and item.image_id
    )
    ways = settings.best_of_n.draws if settings.best_of_n else 0
    ways += 2 * len(settings.pixels.epsilons) if settings.pixels else 0  # and noise as large
    ways += 2 if settings.suffix else 0  # and without it
    models = [model for model in answering.models if model != CHAMPION]
    weight = ways * min(settings.items, wanted) / len(items)
    return Judging(weight, _answers(items, models, answering.tokens))


def _answers(items: Sequence[EvalItem], models: Iterable[str], tokens: float) -> list[Judged]:
    return [
        (item, _answer(model, item, filler(model, tokens * CHARACTERS_PER_TOKEN)))
        for model in models
        for item in items
    ]


def _ask(
    settings: EvaluationSettings, judge: JudgeSettings, judging: Judging, books: Books
) -> None:
    """Lets the judge's own code ask about the answers."""
    items = {item.item_id: item for item, _ in judging.answers}
    base_help = {
        answer.item_id: answer.text for item, answer in judging.answers if item.benchmark in HELP
    }
    kind = "moderation" if judge.moderator else "verdict"
    length = sampled(kind, judge.moderator.sampling if judge.moderator else judge.sampling)

    @contextmanager
    def counting(chat: ChatSettings, *_: Any) -> Iterator[ChatModel]:
        counted = CountingChat(STAGE, chat, length, books)
        counted.weight = judging.weight
        yield counted

    alone = settings.model_copy(update={"judges": (judge,)})
    rules = BenchmarkJudge(items.values(), base_help)
    journal: Journal = None  # type: ignore[assignment]  # nothing is said that could be kept
    with open_judges(alone, rules, base_help, lambda _: b"picture", journal, counting) as opened:
        for _ in opened[0].verdicts(judging.answers):
            pass


def _items(settings: EvaluationSettings, held_out: Sequence[EvalItem]) -> Iterator[Items]:
    if "pocket" in settings.asked:
        yield from _pocket(settings)
    if settings.published:
        yield Items(1.0, list(_of(published_items(settings.published))))
    if "held_out" in settings.asked:
        pocket = "pocket" in settings.asked
        asked = [item for item in held_out if item.image_id and (pocket or not item.thing)]
        yield Items(1.0, [replace(item, benchmark=HELD_OUT[item.benchmark]) for item in asked])


def _controls(settings: EvaluationSettings, group: Items) -> Items:
    """Blind controls of a group; where its items stand for several, so do they."""
    most, drawn = settings.blind_items, len(group.items)
    controls = list(_of(control_items(group.items, most, settings.seed)))
    weight = min(most, round(group.weight * drawn)) / max(1, min(most, drawn))
    return Items(1.0 if group.weight == 1 else weight, controls)


def _pocket(settings: EvaluationSettings) -> Iterator[Items]:
    """A few of each thing's items, since drawing them all takes long."""
    wanted = settings.benchmarks
    few = wanted.model_copy(
        update={name: min(getattr(wanted, name), MOST_OF_A_THING) for name in _SIZES}
    )
    items = sorted(_of(pocket_items(few, settings.seed)), key=lambda item: item.benchmark)
    for benchmark, some in groupby(items, key=lambda item: item.benchmark):
        weight = _count(wanted, benchmark) / _count(few, benchmark)
        yield Items(weight, list(some))


def _count(settings: BenchmarkSettings, benchmark: str) -> int:
    """Items of a benchmark, or as many for each class or thing where all have alike many."""
    again = min(settings.harm_decodings_per_class, settings.harm_per_class)
    classes = sum(thing.harmful for thing in things())
    harmless = len(things()) - classes
    return {
        **dict.fromkeys(HARM_DECODINGS, again),
        "harm_eval": settings.harm_per_class,
        SUFFIX: min(settings.harm_suffix_per_class, settings.harm_per_class),
        UNSEEN: settings.unseen_per_class,
        "general_ability": settings.naming_per_thing,
    }.get(benchmark, harmless * settings.help_per_thing + classes * settings.guards_per_class)


def _of(found: Iterable[Any]) -> Iterator[EvalItem]:
    for each in found:
        if not isinstance(each, Missing):
            yield from each.items


def _labelled(settings: EvaluationSettings, groups: Iterable[Items]) -> Iterator[Judged]:
    """Published answers that people have judged, on which judges are tried."""
    assert settings.published is not None
    items = {item.item_id: item for group in groups for item in group.items}
    for row in labelled_answers(settings.published):
        if item := items.get(row.item_id):
            yield item, _answer("people", item, row.text)


def _answer(model: str, item: EvalItem, text: str) -> EvalAnswer:
    name = record_id("answer", model, item.item_id)
    return EvalAnswer(
        name, item.item_id, item.benchmark, model, item.image_id, item.question, text, "stop"
    )
