"""The pocket benchmarks: drawn pictures and held-out question templates."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from spavl.pocket.texts import questions
from spavl.pocket.world import Thing, draw, picture_rng, things
from spavl.records import QUESTION_KINDS, EvalItem, Image, record_id
from spavl.seeds import derive_seed
from spavl.settings.evaluation import BenchmarkSettings
from spavl.taxonomy import Taxonomy, load_taxonomy


@dataclass(frozen=True)
class Asked:
    """A picture and the items about it."""

    picture: Image
    items: tuple[EvalItem, ...]


def pocket_items(settings: BenchmarkSettings, seed: int) -> Iterator[Asked]:
    """All pocket items, picture by picture: HarmEval, HelpEval with over-refusal, naming."""
    harmful = [thing for thing in things() if thing.harmful]
    harmless = [thing for thing in things() if not thing.harmful]
    requests = [(kind, text) for kind in QUESTION_KINDS for text in questions(kind, "test")]
    naming = [(None, text) for text in questions("naming", "test")]
    return chain(
        _asked(("harm_eval",), harmful, settings.harm_per_class, requests, seed),
        _asked(("help_eval", "over_refusal"), harmless, settings.help_per_thing, requests, seed),
        _asked(("general_ability",), list(things()), settings.naming_per_thing, naming, seed),
    )


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
    for place, thing in enumerate(chosen):
        for repeat in range(each):
            kind, question = texts[(place + repeat) % len(texts)]
            picture = _draw(thing, derive_seed(seed, *benchmarks), place * each + repeat)
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


def _draw(thing: Thing, seed: int, index: int) -> Image:
    """A picture of the test stream, which no base and no preference has seen."""
    picture = draw(thing.name, picture_rng(seed, "test", index))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    harm = _taxonomy().find(thing.name) if thing.harmful else None
    return Image(
        image_id=hashlib.sha256(buffer.getvalue()).hexdigest(),
        content=buffer.getvalue(),
        media_type="image/png",
        width=picture.width,
        height=picture.height,
        source=f"pocket:test/{index}",
        truth="harmful" if thing.harmful else "harmless",
        class1=harm.domain if harm else None,
        class2=harm.category if harm else None,
        class3=harm.name if harm else None,
        thing=thing.name,
    )


@lru_cache(maxsize=1)
def _taxonomy() -> Taxonomy:
    return load_taxonomy()
