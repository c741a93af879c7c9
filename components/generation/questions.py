"""Question writing: a caption, then three questions, for every picture.

The base model captions each picture; the writer is shown the picture, its caption and one writing
prompt per kind (easy question, hard question, hard statement). What it writes is parsed strictly:
what does not fit is asked for again with another seed, and set aside with a reason after the last
attempt. Set-asides lie in the folder `set_asides` of the output.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from typing import Any

from components.generation.captions import Captioner
from components.generation.writing import Picture, Writer
from spavl.chat import ChatModel, ChatSettings, Journal, open_chat
from spavl.chat.spending import Purse
from spavl.chat.usage import CountedChat
from spavl.images import ImageStore
from spavl.records import Question, SetAside
from spavl.settings.questions import QuestionsSettings
from spavl.work import Reference, Stage, Work, run_stage

STAGE = "questions"


def write_questions(
    settings: Mapping[str, Any], images: Reference, model: Reference, output: str
) -> None:
    """Writes the questions about all pictures of a store.

    Args:
        settings: See `QuestionsSettings`.
        images: The image store.
        model: The base model.
        output: Folder for the data set of `Question`.

    Raises:
        InputError: The settings name no such prompt, key or model.
    """
    parsed = QuestionsSettings.parse(dict(settings), "questions")
    inputs = {"images": images.digest, "model": model.digest}
    stage = Stage(STAGE, __name__, parsed.model_dump(mode="json"), inputs)
    run_stage(stage, lambda work: _write(work, parsed, images, model), {"questions": output})


def _write(
    work: Work, settings: QuestionsSettings, images: Reference, model: Reference
) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    store = ImageStore(images.uri)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(work.folder / "journal.jsonl"))
        kept = stack.enter_context(work.writer("questions", Question))
        left_out = stack.enter_context(work.writer("questions/set_asides", SetAside))
        captioning, writing = _models(work, settings, model, journal, stack)
        captioner, writer = Captioner(captioning, settings), Writer(writing, settings)
        for pictures in _blocks(store, settings.block_size):
            captions = captioner.captions(pictures, counts)
            shown = [Picture(name, pictures[name], captions[name]) for name in pictures]
            for record in writer.questions(shown, counts):
                (kept if isinstance(record, Question) else left_out).add(record)
            counts["pictures"] += len(pictures)
            work.progress(counts["pictures"], len(store), "pictures")
    return {
        "questions": kept.rows,
        "set_asides": left_out.rows,
        "counts": dict(counts),
        "usage": {"captioner": captioning.usage(), "writer": writing.usage()},
    }


def _models(
    work: Work,
    settings: QuestionsSettings,
    model: Reference,
    journal: Journal,
    stack: ExitStack,
) -> tuple[CountedChat, CountedChat]:
    """The captioner and the writer; one model where they are the same."""
    purse = Purse(STAGE, settings.budget)

    def opened(chat: ChatSettings) -> ChatModel:
        return stack.enter_context(open_chat(chat, journal, model, settings.threads, purse))

    with work.importing():
        captioning = opened(settings.captioner)
        same = settings.writer == settings.captioner
        writing = captioning if same else opened(settings.writer)
    return CountedChat(captioning, settings.captioner), CountedChat(writing, settings.writer)


def _blocks(store: ImageStore, size: int) -> Iterator[dict[str, bytes]]:
    """Pictures by id, a block at a time, in store order."""
    ids = (facts.image_id for facts in store.facts())
    while block := list(islice(ids, size)):
        yield {image_id: store.content(image_id) for image_id in block}
