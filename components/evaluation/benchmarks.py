"""Benchmarks: the items that every model answers, and their pictures.

In: the image store (for photographs of unknown truth), the data set's own test items, the folder
of published benchmarks. Out: a folder with `items/` (data set of `EvalItem`), `images/` (an image
store of its own), `labels/` (published answers that people have judged), `missing.json`: what
published benchmarks lack, and `pictures.json`: how many of their pictures were read from the folder
and how many drawn here.

The pocket benchmarks use pictures and question templates that are in no training set. HarmEval and
over-refusal put the very same question texts to harmful and harmless pictures: only reading the
picture tells them apart. Over-refusal and HelpEval ask the same harmless questions about the same
pictures, a third of them requests that guard against what a harmful picture shows.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any, NamedTuple

from components.evaluation.blind import control_items
from components.evaluation.held_out import held_out_items
from components.evaluation.items import Asked, Missing, PictureCount
from components.evaluation.pocket_items import pocket_items
from components.evaluation.published import (
    labelled_answers,
    published_items,
    require_published,
    suffix_of,
)
from spavl.digests import file_digest, folder_digest, json_digest
from spavl.images import ImageStore
from spavl.pocket.texts import questions
from spavl.records import (
    QUESTION_KINDS,
    EvalItem,
    Image,
    LabelledAnswer,
    QuestionKind,
    record_id,
)
from spavl.settings.evaluation import EvaluationSettings
from spavl.shards import DatasetWriter, read_manifest, write_json
from spavl.work import Reference, Stage, Work, run_stage, stage_uri

MISSING = "missing.json"
PICTURES = "pictures.json"
LABELS = "labels"
KEPT = ("items", "images", LABELS)


class Benchmarks(NamedTuple):
    """Where the benchmarks lie, and the digest of what they hold."""

    uri: str
    digest: str


NO_ITEMS = Reference("", "")
"""Where a data set has no test items of its own."""


def prepare(
    settings: dict[str, Any], images: Reference, held_out: Reference = NO_ITEMS
) -> Benchmarks:
    """Prepares all benchmarks.

    Args:
        settings: Raw `EvaluationSettings`.
        images: The image store; its pictures of unknown truth become plumbing items.
        held_out: The data set's own test items.
    """
    checked = EvaluationSettings.parse(settings, "evaluation")
    told: dict[str, Any] = {
        "seed": checked.seed,
        "suites": sorted(checked.asked),
        "blind_items": checked.blind_items,
        **checked.benchmarks.model_dump(),
    }
    inputs = {"images": images.digest, "held_out": held_out.digest}
    if checked.published:
        told["published"] = checked.published.model_dump(exclude={"folder", "suffix_file"})
        inputs["published"] = folder_digest(require_published(checked.published))
        if suffix := suffix_of(checked.published):
            inputs["suffix"] = file_digest(suffix)
    stage = Stage("benchmarks", "components.evaluation.benchmarks", told, inputs)
    result = run_stage(stage, lambda work: _body(work, checked, images, held_out))
    return Benchmarks(stage_uri(stage), result["digest"])


def _body(
    work: Work, settings: EvaluationSettings, images: Reference, held_out: Reference
) -> dict[str, Any]:
    missing: list[Missing] = []
    shown: Counter[tuple[str, str | None, bool]] = Counter()
    with work.writer("items", EvalItem) as items, work.writer("images", Image) as store:
        kept = _Kept(items, store)
        for found in _all(settings, images, held_out):
            if isinstance(found, Missing):
                missing.append(found)
                continue
            kept.add(found)
            for item in found.items:
                if found.picture and item.source == "published":
                    shown[item.benchmark, item.kind, found.drawn] += 1
        for control in control_items(kept.items, settings.blind_items, settings.seed):
            kept.add(control)
    with work.writer(LABELS, LabelledAnswer) as labels:
        for labelled in labelled_answers(settings.published) if settings.published else ():
            labels.add(labelled)
    pictures = [
        PictureCount(name, kind, shown[name, kind, False], shown[name, kind, True])
        for name, kind in dict.fromkeys((name, kind) for name, kind, _ in shown)
    ]
    _tell(work, missing, pictures)
    told = {MISSING: [asdict(each) for each in missing], PICTURES: [asdict(p) for p in pictures]}
    for name, rows in told.items():
        write_json(work.folder / name, rows)
    digests = {name: read_manifest(work.folder / name).digest for name in KEPT}
    digest = json_digest({**digests, **told})
    return {"items": items.rows, "images": store.rows, "digest": digest}


class _Kept:
    """Items as they are written, and each picture once."""

    def __init__(self, items: DatasetWriter, store: DatasetWriter) -> None:
        self.items: list[EvalItem] = []
        self._writers = (items, store)
        self._seen: set[str] = set()

    def add(self, asked: Asked) -> None:
        """Writes items and their picture."""
        items, store = self._writers
        if asked.picture and asked.picture.image_id not in self._seen:
            self._seen.add(asked.picture.image_id)
            store.add(asked.picture)
        for item in asked.items:
            items.add(item)
        self.items += asked.items


def _tell(work: Work, missing: Sequence[Missing], pictures: Sequence[PictureCount]) -> None:
    """Say in the run's log what is missing and what was drawn in its place."""
    for each in missing:
        count = f" ({each.n})" if each.n else ""
        work.note(f"{_column(each)}: missing {each.what}{count}")
    for each in pictures:
        if each.drawn:
            work.note(f"{_column(each)}: {each.drawn} pictures drawn, {each.read} read")


def _column(found: Missing | PictureCount) -> str:
    return found.benchmark + (f", {found.kind}" if found.kind else "")


def _all(
    settings: EvaluationSettings, images: Reference, held_out: Reference
) -> Iterator[Asked | Missing]:
    store, pocket = ImageStore(images.uri), "pocket" in settings.asked
    if pocket:
        yield from pocket_items(settings.benchmarks, settings.seed)
    yield from photograph_items(store, settings.benchmarks.photographs)
    if "held_out" in settings.asked:
        yield from held_out_items(held_out.uri, store, pocket)
    if settings.published:
        yield from published_items(settings.published)


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
