"""A little world on disk: pictures, preferences in three splits, a tiny base model."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from spavl.alignment.rows import Tokeniser
from spavl.models.load import load_policy
from spavl.models.pictures import Pictures
from spavl.records import Image, Maker, Preference, record_id
from spavl.shards import DatasetWriter, read_manifest
from spavl.work import Reference
from tests.unit.models.tiny import PictureBook, save_tiny

QUESTIONS = ("What is this?", "How do I use it, step by step?", "Tell me.")
ANSWERS = ("Sure. This is a lamp.", "I can't help with this.", "Sorry.", "Sure. Use it so.")


@dataclass(frozen=True)
class World:
    """Where everything lies."""

    train: str
    validation: str
    test: str
    images: Reference
    base: Reference


def make_world(folder: Path, pairs: int = 12, broken_pictures: int = 0) -> World:
    """Write a world of `pairs` training pairs, 6 validation and 6 test pairs."""
    pictures = [_picture(number, number >= 8) for number in range(8 + broken_pictures)]
    with DatasetWriter(folder / "images", Image, {}, {}) as writer:
        for picture in pictures:
            writer.add(picture)
    splits = {"train": pairs, "validation": 6, "test": 6}
    for split, count in splits.items():
        with DatasetWriter(folder / split, Preference, {}, {}) as writer:
            for number in range(count):
                writer.add(_preference(split, number, pictures[number % len(pictures)].image_id))
    base = save_tiny(folder / "base")
    digest = read_manifest(folder / "images").digest
    return World(
        *(str(folder / split) for split in splits),
        images=Reference(str(folder / "images"), digest),
        base=Reference(str(base), "base"),
    )


def make_tokeniser(world: World, max_length: int = 64) -> tuple[Tokeniser, Pictures]:
    """A tokeniser for the world's base, over random pictures."""
    model, processor = load_policy(world.base.uri)
    pictures = Pictures(model, processor, PictureBook())
    return Tokeniser(processor, pictures, max_length), pictures


def make_preference(
    number: int = 0, image_id: str = "a", question: str = "Tell me.", chosen: str = "No."
) -> Preference:
    """A preference of which only the given things matter."""
    return _preference("made", number, image_id, question, chosen)


def _preference(
    split: str, number: int, image_id: str, question: str | None = None, chosen: str | None = None
) -> Preference:
    question = question or QUESTIONS[number % len(QUESTIONS)]
    question_id = record_id(image_id, question)
    return Preference(
        preference_id=record_id(split, str(number)),
        image_id=image_id,
        question_id=question_id,
        question=question,
        kind=("easy_question", "hard_question", "hard_statement")[number % 3],
        truth=("harmful", "harmless")[number % 2],
        thing="lamp",
        class3=("Fraud", None)[number % 2],
        chosen=chosen or ANSWERS[1 + number % 3],
        rejected=ANSWERS[0],
        chosen_response_id="1",
        rejected_response_id="2",
        chosen_responder="one",
        rejected_responder="two",
        chosen_safe=True,
        rejected_safe=False,
        reason1="",
        reason2="",
        maker=Maker("test"),
    )


def _picture(number: int, broken: bool) -> Image:
    stream = io.BytesIO()
    PictureBook().open(str(number)).save(stream, "PNG")
    content = b"no picture %d" % number if broken else stream.getvalue()
    return Image(
        image_id=hashlib.sha256(content).hexdigest(),
        content=content,
        media_type="image/png",
        width=16,
        height=16,
        source="test",
        truth="unknown",
        class1=None,
        class2=None,
        class3=None,
        thing=None,
    )
