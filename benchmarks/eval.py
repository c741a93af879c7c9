"""Answering a benchmark: ours in batches with shared prompt caches, against one by one.

Both sides answer the same questions about the same pictures with the same model, greedily and to
the same limit, and their tokens must be equal. The baseline gives each question and its picture to
the library's own `generate`, with its cache, as inference at batch 1 does. Ours puts questions of
one picture together, longest first, reads each picture once, and answers them as one batch.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.llava_world import (
    RandomPictures,
    Shape,
    make_examples,
    make_model,
    make_processor,
)
from benchmarks.measuring import Clock, machine
from spavl.chat.interface import ChatRequest, Message, Sampling
from spavl.chat.transformers_backend import compose_by_picture
from spavl.models.generation import generate
from spavl.models.shared_prompts import generate_shared

Asked = tuple[str, str]


@dataclass(frozen=True)
class EvalShape:
    """What is answered.

    Attributes:
        model: The model, its picture tokens and the questions' tokens.
        pictures: Pictures, each with the model's number of questions.
        answer_tokens: Tokens of an answer, at most.
        batch_size: Questions that ours answers at once.
    """

    model: Shape = field(default_factory=Shape)
    pictures: int = 4
    answer_tokens: int = 64
    batch_size: int = 12


def run(shape: EvalShape | None = None, repetitions: int = 2) -> dict[str, Any]:
    """Measure; sides take turns, and a first turn of each is not counted.

    Returns:
        The figures of `spavl bench eval --json`.

    Raises:
        AssertionError: If the two sides' answers differ.
    """
    shape = shape or EvalShape()
    processor = make_processor(shape.model)
    model = make_model(shape.model, processor).eval()
    clock = Clock()
    asked = [_asked(shape, number) for number in range(repetitions + 1)]
    answers = 0
    for questions in asked:
        with clock.timed("ours"):
            ours = _in_batches(shape, model, processor, questions)
        with clock.timed("baseline"):
            baseline = _one_by_one(shape, model, processor, questions)
        if ours != baseline:
            differ = sum(ours[each] != baseline[each] for each in questions)
            raise AssertionError(f"{differ} of {len(questions)} greedy answers differ")
        answers += len(questions)
    wall, cpu = clock.medians()
    return {
        "ours_s": wall["ours"],
        "baseline_s": wall["baseline"],
        "time_ratio": wall["ours"] / wall["baseline"],
        "of_cpu_seconds": {"time_ratio": cpu["ours"] / cpu["baseline"]},
        "identical_answers": answers,
        "repetitions": repetitions,
        "shape": {**asdict(shape), "answers_per_repetition": len(asked[0])},
        "machine": machine(),
    }


def _asked(shape: EvalShape, number: int) -> list[Asked]:
    """Pictures' names and prompts of one repetition; questions are of unequal length."""
    examples = make_examples(shape.model, shape.pictures, seed=number)
    flat = [(example.image_id, example.prompt) for step in examples for example in step]
    return [
        (f"{number} {image_id}", " ".join(prompt.split()[: -(place % 9) or None]))
        for place, (image_id, prompt) in enumerate(flat)
    ]


def _sampling(shape: EvalShape) -> Sampling:
    return Sampling(shape.answer_tokens, temperature=0.0)


def _one_by_one(
    shape: EvalShape, model: Any, processor: Any, asked: Sequence[Asked]
) -> dict[Asked, list[int]]:
    pictures = RandomPictures(shape.model.side)
    return {
        (name, text): generate(
            model, processor, [text], [pictures.open(name)], _sampling(shape)
        ).token_ids[0]
        for name, text in asked
    }


def _in_batches(
    shape: EvalShape, model: Any, processor: Any, asked: Sequence[Asked]
) -> dict[Asked, list[int]]:
    """As evaluation does it, but for the pictures' encoding."""
    pictures, found = RandomPictures(shape.model.side), {}
    requests = [
        ChatRequest(f"{place:05d}", (Message("user", text),), name.encode())
        for place, (name, text) in enumerate(asked)
    ]
    for batch in compose_by_picture(requests, shape.batch_size):
        part = [asked[int(request.record_id)] for request in batch]
        names = [name for name, _ in part]
        opened = {name: pictures.open(name) for name in names}
        made = generate_shared(
            model,
            processor,
            [text for _, text in part],
            [opened[name] for name in names],
            names,
            _sampling(shape),
        )
        found.update(zip(part, made.token_ids, strict=True))
    return found
