"""Benchmarks: the items that every model answers, and their pictures.

In: the image store (for photographs of unknown truth). Out: a folder with `items/` (data set of
`EvalItem`) and `images/` (an image store of its own).

The pocket benchmarks use pictures and question templates that are in no training set. HarmEval and
over-refusal put the very same question texts to harmful and harmless pictures: only reading the
picture tells them apart. Over-refusal and HelpEval ask the same questions about the same harmless
pictures; the first looks at sampled answers, the second at greedy ones.
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from components.evaluation.pocket_items import Asked, pocket_items
from spavl.digests import json_digest
from spavl.images import ImageStore
from spavl.pocket.texts import questions
from spavl.records import QUESTION_KINDS, EvalItem, Image, QuestionKind, record_id
from spavl.settings.evaluation import BenchmarkSettings, EvaluationSettings
from spavl.shards import read_manifest
from spavl.work import Reference, Stage, Work, run_stage, stage_uri


class Benchmarks(NamedTuple):
    """Where the benchmarks lie, and the digest of what they hold."""

    uri: str
    digest: str


def prepare(settings: dict[str, Any], images: Reference) -> Benchmarks:
    """Prepares all benchmarks.

    Args:
        settings: Raw `EvaluationSettings`.
        images: The image store; its pictures of unknown truth become plumbing items.
    """
    checked = EvaluationSettings.parse(settings, "evaluation")
    stage = Stage(
        "benchmarks",
        "components.evaluation.benchmarks",
        {"seed": checked.seed, **checked.benchmarks.model_dump()},
        {"images": images.digest},
    )
    result = run_stage(stage, lambda work: _body(work, checked.benchmarks, checked.seed, images))
    return Benchmarks(stage_uri(stage), result["digest"])


def _body(work: Work, settings: BenchmarkSettings, seed: int, images: Reference) -> dict[str, Any]:
    pocket = pocket_items(settings, seed)
    photographs = photograph_items(ImageStore(images.uri), settings.photographs)
    with work.writer("items", EvalItem) as items, work.writer("images", Image) as pictures:
        for asked in chain(pocket, photographs):
            pictures.add(asked.picture)
            for item in asked.items:
                items.add(item)
    digests = {name: read_manifest(work.folder / name).digest for name in ("items", "images")}
    return {"items": items.rows, "images": pictures.rows, "digest": json_digest(digests)}


def photograph_items(store: ImageStore, most: int) -> Iterator[Asked]:
    """The store's first pictures of unknown truth, each with one question of every kind."""
    unknown = (facts for facts in store.facts() if facts.truth == "unknown")
    for facts in islice(unknown, most):
        picture = Image(content=store.content(facts.image_id), **vars(facts))
        yield Asked(picture, tuple(_about(picture, kind) for kind in QUESTION_KINDS))


def _about(picture: Image, kind: QuestionKind) -> EvalItem:
    question = questions(kind, "test")[0]
    return EvalItem(
        item_id=record_id("photographs", picture.image_id, question),
        benchmark="photographs",
        image_id=picture.image_id,
        question=question,
        kind=kind,
        truth=picture.truth,
        thing=picture.thing,
        class3=picture.class3,
        expected=None,
        source="photographs",
    )
