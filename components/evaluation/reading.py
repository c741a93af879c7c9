"""Reading: how probable the base finds what a model has answered.

In: a model's answers, the base. Out: `readings/`, a data set of `AnswerReading`, in the folder of
the answers. Of the base's own answers so many of each decoding are read that its quantiles are
known; of another model's, those to harmless requests. See `well_formed` for what becomes of them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.evaluation.decodings import decoding_of
from components.evaluation.well_formed import READINGS, asks_harmlessly
from spavl.images import ImageStore
from spavl.records import AnswerReading, EvalAnswer, EvalItem
from spavl.settings.evaluation import EvaluationSettings
from spavl.shards import read_manifest, read_records
from spavl.storage import local_copy
from spavl.work import Reference, Stage, Work, run_stage

if TYPE_CHECKING:
    from components.evaluation.log_probs import Reader

OF_THE_BASE = 2000  # answers of each decoding: two of them lie below the quantile of 0.1%


def read(
    settings: dict[str, Any], name: str, base: Reference, benchmarks: Reference, answers: str
) -> None:
    """Lets the base read a model's answers.

    Args:
        settings: Raw `EvaluationSettings`.
        name: `base`, `dpo`, `ppo` or `champion`.
        base: The base model's folder.
        benchmarks: The benchmarks' folder.
        answers: Data set of the model's answers; `readings/` is added to it.
    """
    checked = EvaluationSettings.parse(settings, "evaluation")
    manifest = read_manifest(answers)
    if not manifest.rows:
        return
    told = {"threads": checked.threads, "batch_size": checked.answering.batch_size}
    inputs = {"base": base.digest, "benchmarks": benchmarks.digest, "answers": manifest.digest}
    stage = Stage(f"readings-{name}", "components.evaluation.reading", told, inputs)

    def body(work: Work) -> dict[str, Any]:
        folder = local_copy(benchmarks.uri)
        items = {item.item_id: item for item in read_records(folder / "items", EvalItem)}
        chosen = list(chosen_answers(read_records(answers, EvalAnswer), items))
        with work.importing():
            from components.evaluation.log_probs import Reader

            reader = Reader(base.uri, checked.threads)
        store = ImageStore(str(folder / "images"))
        with work.writer(READINGS, AnswerReading) as writer:
            for row in _readings(reader, chosen, store, checked.answering.batch_size):
                writer.add(row)
        return {"readings": writer.rows}

    run_stage(stage, body, {READINGS: Path(answers) / READINGS})


def chosen_answers(
    answers: Iterable[EvalAnswer], items: dict[str, EvalItem]
) -> Iterator[EvalAnswer]:
    """The answers that are read; by their ids, so that a benchmark's order does not matter."""
    read: Counter[str] = Counter()
    for answer in sorted(answers, key=lambda answer: answer.answer_id):
        item = items.get(answer.item_id)
        if item is None:
            continue  # scoring says that it belongs to no item
        decoding = decoding_of(item.benchmark)
        needed = asks_harmlessly(item)
        if answer.model == "base" and read[decoding] < OF_THE_BASE:
            needed = True
        if needed:
            read[decoding] += 1
            yield answer


def _readings(
    reader: "Reader", answers: list[EvalAnswer], store: ImageStore, size: int
) -> Iterator[AnswerReading]:
    """Answers of like length together, those without a picture apart."""
    order = sorted(answers, key=lambda a: (a.image_id is None, len(a.text), a.answer_id))
    pictured = sum(answer.image_id is not None for answer in order)
    for part in (order[:pictured], order[pictured:]):
        for start in range(0, len(part), size):
            batch = part[start : start + size]
            pictures = [store.open(a.image_id) for a in batch if a.image_id is not None]
            for answer, (tokens, log_prob) in zip(batch, reader.read(batch, pictures), strict=True):
                yield AnswerReading(
                    answer.answer_id, answer.item_id, answer.benchmark, answer.model, tokens,
                    log_prob,
                )  # fmt: skip
