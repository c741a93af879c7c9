"""Answering: one model answers every item of the benchmarks.

In: a model, the benchmarks. Out: a data set of answers in the items' order. How each benchmark is
decoded: `decodings`. No system prompt is given.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Any

from components.evaluation.decodings import Decoding, decoding_of, samplings
from components.evaluation.metrics import CHAMPION
from spavl.champion import reigning_champion
from spavl.chat import ChatModel, ChatRequest, Journal, JournaledChat, Message
from spavl.images import ImageStore
from spavl.records import EvalAnswer, EvalItem, record_id
from spavl.settings.evaluation import EvaluationSettings
from spavl.settings.reporting import ReportingSettings
from spavl.shards import DatasetWriter, read_manifest, read_records
from spavl.storage import local_copy
from spavl.work import Reference, Stage, Work, run_stage

_ITEMS_AT_ONCE = 1024  # bounds the pictures in memory


def answer(
    settings: dict[str, Any], name: str, model: Reference, benchmarks: Reference, output: str
) -> None:
    """Writes one model's answers.

    Args:
        settings: Raw `EvaluationSettings`.
        name: `base`, `dpo` or `ppo`.
        model: The model's folder.
        benchmarks: The benchmarks' folder.
        output: Output data set of answers.
    """
    checked = EvaluationSettings.parse(settings, "evaluation")
    stage = Stage(
        f"answers-{name}",
        "components.evaluation.answering",
        {"seed": checked.seed, "threads": checked.threads, **checked.answering.model_dump()},
        {"model": model.digest, "benchmarks": benchmarks.digest},
    )

    def body(work: Work) -> dict[str, Any]:
        with work.importing():
            from spavl.chat.transformers_backend import TransformersChat

            chat = TransformersChat(model.uri, checked.answering.batch_size, checked.threads)
        return answer_items(work, chat, name, benchmarks.uri, checked)

    run_stage(stage, body, {"answers": output})


def answer_as_champion(
    settings: dict[str, Any],
    reporting: dict[str, Any],
    candidates: Collection[str],
    benchmarks: Reference,
    output: str,
) -> None:
    """Writes the reigning champion's answers to the same items; none if nobody reigns.

    Args:
        settings: Raw `EvaluationSettings`.
        reporting: Raw `ReportingSettings`; they name the registered model.
        candidates: Digests of the models that want to succeed it.
        benchmarks: The benchmarks' folder.
        output: Output data set of answers.
    """
    name = ReportingSettings.parse(reporting, "reporting").model_name
    champion = reigning_champion(name, candidates)
    if champion is None:
        with DatasetWriter(output, EvalAnswer):
            return
    model = Reference(str(champion.folder), champion.digest)
    answer(settings, CHAMPION, model, benchmarks, output)


def answer_items(
    work: Work, chat: ChatModel, name: str, benchmarks: str, settings: EvaluationSettings
) -> dict[str, Any]:
    """Lets a chat model answer all items into `answers/` of the work folder."""
    folder = local_copy(benchmarks)
    store = ImageStore(str(folder / "images"))
    total = read_manifest(folder / "items").rows
    items = read_records(folder / "items", EvalItem)
    journal_path = work.checkpoint / "replies.jsonl"
    with Journal(journal_path) as journal, work.writer("answers", EvalAnswer) as writer:
        kept = JournaledChat(chat, journal)
        while chunk := list(islice(items, _ITEMS_AT_ONCE)):
            for row in _answer_chunk(kept, name, chunk, store, settings):
                writer.add(row)
                work.progress(writer.rows, total, "answers")
    return {"answers": writer.rows}


def _answer_chunk(
    chat: ChatModel,
    name: str,
    items: list[EvalItem],
    store: ImageStore,
    settings: EvaluationSettings,
) -> Iterator[EvalAnswer]:
    replies = {}
    for decoding, sampling in samplings(settings.answering, settings.seed).items():
        requests = list(_requests(items, decoding, store))
        replies.update({r.record_id: r for r in chat.reply(requests, sampling)})
    for item in items:
        reply = replies[item.item_id]
        yield EvalAnswer(
            answer_id=record_id("answer", name, item.item_id),
            item_id=item.item_id,
            benchmark=item.benchmark,
            model=name,
            image_id=item.image_id,
            question=item.question,
            text=reply.text,
            finish_reason=reply.finish_reason,
        )


def _requests(
    items: Iterable[EvalItem], decoding: Decoding, store: ImageStore
) -> Iterator[ChatRequest]:
    for item in items:
        if decoding_of(item.benchmark) == decoding:
            picture = None if item.image_id is None else store.content(item.image_id)
            yield ChatRequest(item.item_id, (Message("user", item.question),), picture)
