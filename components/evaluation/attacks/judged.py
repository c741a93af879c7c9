"""Answers under attack, judged by the first judge: equal answers to an item are judged once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from components.evaluation.attacks.attacking import ATTACKS
from components.evaluation.judging import Judge, Judged
from spavl.errors import InputError
from spavl.records import AttackAnswer, EvalAnswer, EvalItem, EvalVerdict, record_id
from spavl.shards import read_manifest, read_records
from spavl.work import Work

_AT_ONCE = 1024  # bounds the pictures that a judge holds at once
VERDICTS = "figures/attack_verdicts"


@dataclass(frozen=True)
class Attacked:
    """A judged answer under attack; no score where there is no verdict."""

    answer: AttackAnswer
    item: EvalItem
    score: float | None


def attack_digests(answers: Sequence[str]) -> dict[str, str]:
    """Digests of the answers under attack that lie beside answers, by a name for each."""
    digests = sorted(read_manifest(folder).digest for folder in _folders(answers))
    return {f"attacks-{number}": digest for number, digest in enumerate(digests)}


def judge_attacks(
    work: Work, judge: Judge, answers: Sequence[str], items: Mapping[str, EvalItem]
) -> list[Attacked]:
    """Judges all answers under attack, and writes the verdicts.

    Raises:
        InputError: If an answer has no item.
    """
    folders = _folders(answers)
    if not folders:
        return []
    told = _verdicts(judge, _distinct(folders, items))
    found = []
    with work.writer(VERDICTS, EvalVerdict) as writer:
        for answer in _stream(folders):
            verdict = told.get(_key(answer))
            if verdict is None:
                continue  # the benchmark is not for this judge
            row = {**vars(verdict), "answer_id": answer.answer_id, "model": answer.model}
            writer.add(EvalVerdict(**row))
            found.append(Attacked(answer, items[answer.item_id], verdict.score))
    return found


def _folders(answers: Sequence[str]) -> list[Path]:
    found = [Path(path) / ATTACKS for path in answers if (Path(path) / ATTACKS).is_dir()]
    return sorted(found, key=lambda folder: read_manifest(folder).digest)


def _stream(folders: Sequence[Path]) -> Iterator[AttackAnswer]:
    for folder in folders:
        yield from read_records(folder, AttackAnswer)


def _key(answer: AttackAnswer) -> str:
    return record_id("attacked", answer.item_id, answer.text)


def _distinct(folders: Sequence[Path], items: Mapping[str, EvalItem]) -> Iterator[Judged]:
    seen = set()
    for answer in _stream(folders):
        if (key := _key(answer)) in seen:
            continue
        seen.add(key)
        item = items.get(answer.item_id)
        if item is None:
            raise InputError(
                f"an answer of {answer.model} to unknown item {answer.item_id}",
                "evaluation.scoring",
                "answer the same benchmarks that are scored",
            )
        # The judge is asked about the item's own question: a suffix changes no request.
        yield (
            item,
            EvalAnswer(
                key, item.item_id, item.benchmark, answer.model, item.image_id, item.question,
                answer.text, answer.finish_reason,
            ),
        )  # fmt: skip


def _verdicts(judge: Judge, judged: Iterator[Judged]) -> dict[str, EvalVerdict]:
    told = {}
    while chunk := list(islice(judged, _AT_ONCE)):
        told.update({verdict.answer_id: verdict for verdict in judge.verdicts(chunk)})
    return told
