"""The pocket benchmarks: drawn pictures and held-out question templates.

A third of the items of over-refusal and HelpEval are requests that guard against what a harmful
picture shows. Harm over classes that no collection holds has a column of its own.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib import resources
from itertools import chain
from typing import NamedTuple

import yaml

from components.evaluation.decodings import HARM_DECODINGS
from components.evaluation.items import Asked
from spavl.pocket.pictures import pocket_image
from spavl.pocket.texts import Ask, questions, truth_of
from spavl.pocket.world import Thing, things
from spavl.records import QUESTION_KINDS, EvalItem, Image, record_id
from spavl.seeds import derive_seed
from spavl.settings.evaluation import BenchmarkSettings, BenchmarkSplit
from spavl.taxonomy import load_taxonomy

SUFFIX, UNSEEN = "harm_eval_suffix", "unseen_classes"
Texts = Sequence[tuple[str | None, str]]


class _Block(NamedTuple):
    """Things, how often each is asked about, and what is asked.

    Attributes:
        benchmarks: What the items are of; several ask the same about the same pictures.
        shown: Things.
        each: Pictures of each.
        texts: Kinds and questions.
        stream: Sets its pictures apart from another block's of the same benchmarks.
    """

    benchmarks: tuple[str, ...]
    shown: Sequence[Thing]
    each: int
    texts: Texts
    stream: str = ""

    @property
    def named(self) -> tuple[str, ...]:
        """The stream's name, where it has one."""
        return (self.stream,) if self.stream else ()


def pocket_items(settings: BenchmarkSettings, seed: int) -> Iterator[Asked]:
    """All pocket items, picture by picture: HarmEval, HelpEval with over-refusal, naming.

    HarmEval with the suffix asks the same questions about the first pictures of each class.
    """
    classes = [thing for thing in things() if thing.harmful]
    collected = [thing for thing in classes if thing.taught_by != "nobody"]
    unseen = [thing for thing in classes if thing.taught_by == "nobody"]
    harmless = [thing for thing in things() if not thing.harmful]
    help_too, split = ("help_eval", "over_refusal"), settings.split
    acts, guards = _requests(split, "act"), _requests(split, "guard")
    naming = [(None, text) for text in questions("naming", split)]
    blocks = (
        _Block((UNSEEN,), unseen, settings.unseen_per_class, acts),
        _Block(help_too, harmless, settings.help_per_thing, acts),
        _Block(help_too, classes, settings.guards_per_class, guards, "guards"),
        _Block(("general_ability",), list(things()), settings.naming_per_thing, naming),
    )
    harm = _Block(("harm_eval",), collected, settings.harm_per_class, acts)
    return chain(
        _asked_again(_asked(harm, split, seed), settings),
        *(_asked(block, split, seed) for block in blocks),
    )


def _requests(split: BenchmarkSplit, ask: Ask) -> Texts:
    return [(kind, text) for kind in QUESTION_KINDS for text in questions(kind, split, ask)]


def with_suffix(question: str, suffix: str) -> str:
    """A question with an adversarial suffix behind it."""
    return f"{question} {suffix}".strip()


def pocket_suffix() -> str:
    """The suffix that a search found; see `suffix_search`."""
    text = (resources.files("components.evaluation") / "pocket_suffix.yaml").read_text("utf-8")
    return str(yaml.safe_load(text)["suffix"])


def _asked_again(asked: Iterable[Asked], settings: BenchmarkSettings) -> Iterator[Asked]:
    """HarmEval's items; beside the first of each class the same to be decoded otherwise, and the
    same question with the suffix behind it.
    """
    seen = Counter[str | None]()
    for each in asked:
        (item,) = each.items
        seen[item.thing] += 1
        found = [item]
        if seen[item.thing] <= settings.harm_decodings_per_class:
            found += [_again(item, name, item.question) for name in HARM_DECODINGS]
        if seen[item.thing] <= settings.harm_suffix_per_class:
            found.append(_again(item, SUFFIX, with_suffix(item.question, pocket_suffix())))
        yield Asked(each.picture, tuple(found))


def _again(item: EvalItem, benchmark: str, question: str) -> EvalItem:
    name = record_id(benchmark, str(item.image_id), question)
    return replace(item, item_id=name, benchmark=benchmark, question=question)


def _asked(block: _Block, split: BenchmarkSplit, seed: int) -> Iterator[Asked]:
    """Each thing `each` times, every time with another question while there are any.

    Things start at different questions, so that few items a thing still cover all questions.
    """
    taxonomy = load_taxonomy()
    stream = derive_seed(seed, *block.benchmarks, *block.named)
    for place, thing in enumerate(block.shown):
        for repeat in range(block.each):
            kind, question = block.texts[(place + repeat) % len(block.texts)]
            index = place * block.each + repeat
            picture = pocket_image(thing, taxonomy, stream, split, index)
            items = (_item(name, picture, kind, question) for name in block.benchmarks)
            yield Asked(picture, tuple(items))


def _item(benchmark: str, picture: Image, kind: str | None, question: str) -> EvalItem:
    return EvalItem(
        item_id=record_id(benchmark, picture.image_id, question),
        benchmark=benchmark,
        image_id=picture.image_id,
        question=question,
        kind=kind,
        truth=truth_of(question, picture.truth),
        thing=picture.thing,
        class3=picture.class3,
        expected=picture.thing if benchmark == "general_ability" else None,
        source="pocket",
    )
