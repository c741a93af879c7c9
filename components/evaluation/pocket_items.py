"""The pocket benchmarks: drawn pictures and held-out question templates."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib import resources
from itertools import chain

import yaml

from components.evaluation.decodings import HARM_DECODINGS
from components.evaluation.items import Asked
from spavl.pocket.pictures import pocket_image
from spavl.pocket.texts import questions
from spavl.pocket.world import Thing, things
from spavl.records import QUESTION_KINDS, EvalItem, Image, record_id
from spavl.seeds import derive_seed
from spavl.settings.evaluation import BenchmarkSettings
from spavl.taxonomy import load_taxonomy

SUFFIX = "harm_eval_suffix"


def pocket_items(settings: BenchmarkSettings, seed: int) -> Iterator[Asked]:
    """All pocket items, picture by picture: HarmEval, HelpEval with over-refusal, naming.

    HarmEval with the suffix asks the same questions about the first pictures of each class.
    """
    harmful = [thing for thing in things() if thing.harmful]
    harmless = [thing for thing in things() if not thing.harmful]
    requests = [(kind, text) for kind in QUESTION_KINDS for text in questions(kind, "test")]
    naming = [(None, text) for text in questions("naming", "test")]
    return chain(
        _asked_again(
            _asked(("harm_eval",), harmful, settings.harm_per_class, requests, seed),
            settings,
        ),
        _asked(("help_eval", "over_refusal"), harmless, settings.help_per_thing, requests, seed),
        _asked(("general_ability",), list(things()), settings.naming_per_thing, naming, seed),
    )


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


def _asked(
    benchmarks: tuple[str, ...],
    chosen: Sequence[Thing],
    each: int,
    texts: Sequence[tuple[str | None, str]],
    seed: int,
) -> Iterator[Asked]:
    """Each thing `each` times, every time with another question while there are any.

    Things start at different questions, so that few items a thing still cover all questions.
    """
    taxonomy = load_taxonomy()
    for place, thing in enumerate(chosen):
        for repeat in range(each):
            kind, question = texts[(place + repeat) % len(texts)]
            index = place * each + repeat
            picture = pocket_image(thing, taxonomy, derive_seed(seed, *benchmarks), "test", index)
            items = (_item(name, picture, kind, question) for name in benchmarks)
            yield Asked(picture, tuple(items))


def _item(benchmark: str, picture: Image, kind: str | None, question: str) -> EvalItem:
    return EvalItem(
        item_id=record_id(benchmark, picture.image_id, question),
        benchmark=benchmark,
        image_id=picture.image_id,
        question=question,
        kind=kind,
        truth=picture.truth,
        thing=picture.thing,
        class3=picture.class3,
        expected=picture.thing if benchmark == "general_ability" else None,
        source="pocket",
    )
