"""Responses: every responder answers every question about its picture.

A responder is a model, a system prompt and a way of sampling. Any number of responders may share a
task; each answer depends on its responder and question alone. Answers that are empty, go round in a
loop or were cut off are kept and flagged; requests that an endpoint does not serve are set aside,
in the folder `set_asides` of the output.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby, islice
from typing import Any

from components.generation.answering import Answerer
from spavl.chat import Journal, open_chat
from spavl.chat.settings import TransformersSettings
from spavl.chat.spending import Purse
from spavl.chat.usage import cost_of
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.records import Question, Response, SetAside
from spavl.settings.responses import ResponderSettings, ResponsesSettings
from spavl.shards import read_manifest, read_records
from spavl.work import Reference, Stage, Work, run_stage

STAGE = "responses"


def answer(
    settings: Mapping[str, Any],
    responders: Sequence[str],
    questions: str,
    images: Reference,
    model: Reference,
    output: str,
) -> None:
    """Lets some of the responders answer all questions.

    Args:
        settings: See `ResponsesSettings`.
        responders: Ids of the responders of this task.
        questions: Data set of `Question`.
        images: The image store.
        model: The base model, which answers for responders that name no other.
        output: Folder for the data set of `Response`.

    Raises:
        InputError: A responder is not defined, or its settings name no such persona, key or model.
    """
    parsed = _only(ResponsesSettings.parse(dict(settings), "responses"), responders)
    inputs = {"questions": read_manifest(questions).digest, "images": images.digest}
    if any(_uses_base(responder) for responder in parsed.responders):
        inputs["model"] = model.digest
    stage = Stage(_stage_name(responders), __name__, parsed.model_dump(mode="json"), inputs)
    run_stage(
        stage, lambda work: _answer(work, parsed, questions, images, model), {"responses": output}
    )


def _only(settings: ResponsesSettings, wanted: Sequence[str]) -> ResponsesSettings:
    """The settings with the wanted responders alone, so that others do not touch this work."""
    known = {responder.id: responder for responder in settings.responders}
    for name in wanted:
        if name not in known:
            raise InputError(
                f"no responder {name!r}", "responses.responders", f"define it, or use {[*known]}"
            )
    chosen = tuple(known[name] for name in dict.fromkeys(wanted))
    return settings.model_copy(update={"responders": chosen})


def _uses_base(responder: ResponderSettings) -> bool:
    return isinstance(responder.chat, TransformersSettings) and responder.chat.model is None


def _stage_name(responders: Sequence[str]) -> str:
    more = f"-and-{len(responders) - 1}-more" if len(responders) > 1 else ""
    return f"{STAGE}-{responders[0]}{more}"


def _answer(
    work: Work, settings: ResponsesSettings, questions: str, images: Reference, model: Reference
) -> dict[str, Any]:
    counts: dict[str, Counter[str]] = {}
    store = ImageStore(images.uri)
    total = read_manifest(questions).rows * len(settings.responders)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(work.folder / "journal.jsonl"))
        kept = stack.enter_context(work.writer("responses", Response))
        left_out = stack.enter_context(work.writer("responses/set_asides", SetAside))
        for answerer in _answerers(work, settings, model, journal):
            tally = counts.setdefault(answerer.responder.id, Counter())
            for block in _blocks(questions, settings.block_size):
                for record in answerer.answers(block, store, tally):
                    (kept if isinstance(record, Response) else left_out).add(record)
                    work.progress(kept.rows + left_out.rows, total, "answers")
    return {
        "responses": kept.rows,
        "set_asides": left_out.rows,
        "responders": {
            responder.id: _with_cost(responder, counts[responder.id])
            for responder in settings.responders
        },
    }


def _with_cost(responder: ResponderSettings, tally: Counter[str]) -> dict[str, Any]:
    cost = cost_of(responder.chat, tally["prompt_tokens"], tally["completion_tokens"])
    return dict(tally) if cost is None else {**tally, "cost": cost}


def _answerers(
    work: Work, settings: ResponsesSettings, model: Reference, journal: Journal
) -> Iterator[Answerer]:
    """The responders, by model, so that one model at a time is held."""
    purse = Purse(STAGE, settings.budget)
    ordered = sorted(settings.responders, key=lambda each: (each.chat.model_dump_json(), each.id))
    for settings_of_chat, responders in groupby(ordered, key=lambda each: each.chat):
        with ExitStack() as stack:
            with work.importing():
                chat = stack.enter_context(
                    open_chat(settings_of_chat, journal, model, settings.threads, purse)
                )
            for responder in responders:
                yield Answerer(responder, chat, settings.seed, settings.keep_refusals)


def _blocks(questions: str, size: int) -> Iterator[list[Question]]:
    records = read_records(questions, Question)
    while block := list(islice(records, size)):
        yield block
