"""How well malformed answers are found: word salad planted among a pocket base's own answers.

    python -m components.evaluation.planted_salad FOLDER [--seed 3]

The base answers the validation split's questions about harmful and harmless pictures of that split,
which no benchmark holds, drawn from the nucleus. One half of the answers gives the quantile, the
other half is read as it is (false alarms) and spoilt in four ways (detection).
"""

import argparse
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image as Pillow

from components.evaluation.decodings import samplings
from components.evaluation.log_probs import Reader
from components.evaluation.well_formed import limits_of
from spavl.chat import ChatRequest, Message
from spavl.chat.transformers_backend import TransformersChat
from spavl.judges.texts import garbled
from spavl.pocket.texts import REQUEST_KINDS, questions
from spavl.pocket.world import draw_many, things
from spavl.records import AnswerReading, EvalAnswer
from spavl.settings.evaluation import AnsweringSettings
from spavl.statistics import rate

REPEATS = 24  # answers about each thing
BATCH = 128
Spoil = Callable[[str, str, random.Random], str]


def shuffled(text: str, other: str, chance: random.Random) -> str:
    """The words in another order."""
    words = text.split()
    mixed = list(words)
    while mixed == words and len(set(words)) > 1:
        chance.shuffle(mixed)
    return " ".join(mixed)


def beheaded(text: str, other: str, chance: random.Random) -> str:
    """The first one to three words cut off."""
    words = text.split()
    return " ".join(words[chance.randint(1, min(3, len(words) - 1)) :])


def crossed(text: str, other: str, chance: random.Random) -> str:
    """Broken off amid a sentence and gone on with amid another answer's."""
    first, second = text.split(), other.split()
    return " ".join(
        first[: chance.randint(2, len(first) - 2)] + second[chance.randint(1, len(second) - 2) :]
    )


def stuttering(text: str, other: str, chance: random.Random) -> str:
    """A fragment of two or three words said three times over."""
    words, size = text.split(), chance.randint(2, 3)
    place = chance.randint(0, len(words) - size)
    return " ".join(words[:place] + words[place : place + size] * 3 + words[place + size :])


SPOILS: tuple[Spoil, ...] = (shuffled, beheaded, crossed, stuttering)


def main() -> None:
    """Print detection and false alarms."""
    parser = argparse.ArgumentParser(description="Plant word salad among a base's answers.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=3)
    given = parser.parse_args()
    print(json.dumps(plant(given.folder, given.seed), indent=2))


def plant(folder: Path, seed: int) -> dict[str, object]:
    """Rates with intervals: false alarms, and detection for each way of spoiling."""
    answers, pictures = _answers(folder, seed)
    reader, chance = Reader(str(folder)), random.Random(seed)
    chance.shuffle(answers)
    half = len(answers) // 2
    own, others = answers[:half], answers[half:]
    (limit,) = limits_of(_read(reader, own, pictures)).values()
    told: dict[str, object] = {
        "limit": limit,
        "false_alarms": _found(reader, others, pictures, limit),
    }
    for spoil in SPOILS:
        spoilt = [
            EvalAnswer(**{**vars(answer), "text": spoil(answer.text, other.text, chance)})
            for answer, other in zip(others, others[1:] + others[:1], strict=True)
        ]
        changed = [s for s, answer in zip(spoilt, others, strict=True) if s.text != answer.text]
        told[spoil.__name__] = _found(reader, changed, pictures, limit)
    return told


def _found(
    reader: Reader, answers: list[EvalAnswer], pictures: dict[str, Pillow.Image], limit: float
) -> dict[str, float | None]:
    read = _read(reader, answers, pictures)
    texts = {answer.answer_id: answer.text for answer in answers}
    hits = sum(
        garbled(texts[row.answer_id]) or (row.log_prob is not None and row.log_prob < limit)
        for row in read
    )
    return vars(rate(hits, len(read)))


def _read(
    reader: Reader, answers: list[EvalAnswer], pictures: dict[str, Pillow.Image]
) -> list[AnswerReading]:
    rows = []
    for start in range(0, len(answers), BATCH):
        batch = answers[start : start + BATCH]
        read = reader.read(batch, [pictures[str(answer.image_id)] for answer in batch])
        for answer, (tokens, log_prob) in zip(batch, read, strict=True):
            rows.append(
                AnswerReading(
                    answer.answer_id, answer.item_id, "over_refusal", "base", tokens, log_prob
                )
            )
    return rows


def _answers(folder: Path, seed: int) -> tuple[list[EvalAnswer], dict[str, Pillow.Image]]:
    shown = list(things()) * REPEATS
    drawn = [Pillow.fromarray(pixels) for pixels in draw_many(shown, seed, "validation")]
    texts = [text for kind in REQUEST_KINDS for text in questions(kind, "validation")]
    asked = {f"{k:05d}": texts[k % len(texts)] for k in range(len(shown))}
    pictures = dict(zip(asked, drawn, strict=True))
    requests = [
        ChatRequest(name, (Message("user", asked[name]),), _png(picture))
        for name, picture in pictures.items()
    ]
    chat = TransformersChat(str(folder), BATCH)
    settings = AnsweringSettings(batch_size=BATCH, max_new_tokens=40)
    replies = chat.reply(requests, samplings(settings, seed)["nucleus"])
    answers = [
        EvalAnswer(
            r.record_id, r.record_id, "over_refusal", "base", r.record_id, asked[r.record_id],
            r.text, r.finish_reason,
        )
        for r in replies
    ]  # fmt: skip
    return sorted(answers, key=lambda answer: answer.answer_id), pictures


def _png(picture: Pillow.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
