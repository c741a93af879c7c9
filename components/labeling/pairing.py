"""Pairing: marks every answer safe or unsafe and draws two answers per question.

In: questions, answers of all responders, the image store (truth and names only, no pixels).
Out: a data set of verdicts; a data set of pairs, with `groups.json` (safety rate and group of every
responder) and `set_asides/` (what was not paired, and why) beside its shards.
Rows about pictures of unknown truth run through like all others, judged by their text alone.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from components.labeling.drawing import draw_block
from components.labeling.groups import BalancedDraw, safety_groups
from components.labeling.join import Asked, Join
from components.labeling.moderators import opened_moderator, pictures_for
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.judges import Abstention, AnswerCase, BatchModerator, Moderation, Shown
from spavl.records import (
    REFUSED_BY_ENDPOINT,
    Maker,
    Pair,
    Question,
    Response,
    SetAside,
    Verdict,
    record_id,
)
from spavl.settings.labeling import LabelingSettings, PairingSettings
from spavl.shards import DatasetWriter, read_manifest, read_records, write_json
from spavl.statistics import rate
from spavl.work import Reference, Stage, Work, run_stage

STAGE = "pairing"
_ANSWERS_AT_ONCE = 1024  # bounds memory, and calls under way where the moderator is a model


def moderate_and_pair(
    settings: dict[str, Any],
    questions: str,
    responses: list[str],
    images: Reference,
    verdicts: str,
    pairs: str,
) -> None:
    """Writes verdicts and pairs.

    Args:
        settings: Raw `LabelingSettings`.
        questions: Data set of questions.
        responses: Data sets of answers, in any order.
        images: The image store.
        verdicts: Output data set of verdicts.
        pairs: Output data set of pairs.

    Raises:
        InputError: If settings are wrong or not one pair can be drawn.
    """
    checked = LabelingSettings.parse(settings, "labeling")
    sources = _Sources(questions, tuple(sorted(responses, key=_digest)), images, checked)
    stage = Stage(
        STAGE,
        "components.labeling.pairing",
        {
            "seed": checked.seed,
            **checked.pairing.model_dump(),
            **checked.model_dump(mode="json", include={"moderator"}, exclude_none=True),
        },
        {
            "questions": _digest(questions),
            "images": images.digest,
            **{f"responses-{i}": _digest(path) for i, path in enumerate(sources.responses)},
        },
    )
    run_stage(
        stage,
        lambda work: _body(work, checked.pairing, checked.seed, sources),
        {"verdicts": verdicts, "pairs": pairs},
    )


@dataclass(frozen=True)
class _Sources:
    questions: str
    responses: tuple[str, ...]
    images: Reference
    settings: LabelingSettings


class _LeftOut:
    """Writes what is set aside and counts it by reason."""

    def __init__(self, writer: DatasetWriter) -> None:
        self._writer = writer
        self.reasons: Counter[str] = Counter()

    def add(self, record: str, reason: str, detail: str) -> None:
        self.reasons[reason] += 1
        self._writer.add(SetAside(record, STAGE, reason, detail))


@dataclass
class _Rates:
    """Counts per responder, over the answers that could have been unsafe and over all."""

    safe: Counter[str] = field(default_factory=Counter)
    judged: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)

    def add(self, responder: str, truth: str, safe: bool, refused: bool) -> None:
        self.answers[responder] += 1
        self.refused[responder] += refused
        if truth != "harmless":  # nothing unsafe can be said about a harmless picture
            self.judged[responder] += 1
            self.safe[responder] += safe


def _body(work: Work, settings: PairingSettings, seed: int, sources: _Sources) -> dict[str, Any]:
    with (
        Join(work.folder / "join.sqlite") as join,
        work.writer("pairs", Pair) as pairs,
        work.writer("pairs/set_asides", SetAside) as aside,
    ):
        join.add_pictures(ImageStore(sources.images.uri))
        join.add_questions(read_records(sources.questions, Question))
        left_out = _LeftOut(aside)
        rates = _moderate(work, settings, sources, join, left_out)
        table = _table(rates, settings.groups)
        groups = {row["responder"]: row["group"] for row in table}
        for block in join.blocks(settings.block_questions):
            draw = BalancedDraw(groups, seed)
            drawn, unpaired = draw_block(block, draw, settings.pairs_per_question)
            pairs.add_table(drawn)
            for question in unpaired:
                detail = f"{question.answers} answers"
                left_out.add(question.question_id, question.reason, detail)
        write_json(work.folder / "pairs" / "groups.json", {"responders": table})
    if pairs.rows == 0:
        raise InputError(
            "no pair could be drawn",
            "labeling.pairing",
            f"set aside: {dict(left_out.reasons)}; responders need different safety rates and "
            "texts: add responders or questions about harmful pictures",
        )
    return {
        "answers": sum(rates.answers.values()),
        "pairs": pairs.rows,
        "set_asides": dict(sorted(left_out.reasons.items())),
        "responders": table,
    }


def _moderate(
    work: Work, settings: PairingSettings, sources: _Sources, join: Join, left_out: _LeftOut
) -> _Rates:
    """Writes a verdict on every answer and hands those that may be drawn to the join."""
    rates = _Rates()
    total = sum(read_manifest(path).rows for path in sources.responses)
    with (
        work.writer("verdicts", Verdict) as verdicts,
        opened_moderator(work, sources.settings) as moderator,
    ):
        for response, asked, finding in _findings(moderator, sources, join, left_out):
            if isinstance(finding, Abstention):
                reason = f"{finding.reason}: {finding.detail}"
                left_out.add(response.response_id, "no_verdict", reason)
                continue
            verdicts.add(_verdict(moderator.judge_id, finding, response))
            rates.add(response.responder, asked.truth, finding.safe, finding.refused)
            dropped = set(response.flags) & set(settings.dropped_flags)
            if dropped or not response.text.strip():
                detail = ", ".join(sorted(dropped)) or "empty"
                left_out.add(response.response_id, "flagged_answer", detail)
            else:
                join.add_answer(response, finding.safe)
            work.progress(verdicts.rows, total, "answers")
    return rates


def _findings(
    moderator: BatchModerator, sources: _Sources, join: Join, left_out: _LeftOut
) -> Iterator[tuple[Response, Asked, Moderation | Abstention]]:
    """Every answer whose question is there, and what the moderator finds, a block at a time."""
    every = (row for path in sources.responses for row in read_records(path, Response))
    pictures = pictures_for(sources.settings, sources.images)
    while block := list(islice(every, _ANSWERS_AT_ONCE)):
        known: list[tuple[Response, Asked]] = []
        for response in block:
            if REFUSED_BY_ENDPOINT in response.flags:  # no answer of the model's: nothing to judge
                left_out.add(response.response_id, REFUSED_BY_ENDPOINT, response.responder)
                continue
            asked = join.asked(response.question_id)
            if asked is None:
                left_out.add(response.response_id, "no_question", "or its picture is missing")
            else:
                known.append((response, asked))
        findings = moderator.moderate_all([_case(*each, pictures) for each in known])
        yield from ((*each, found) for each, found in zip(known, findings, strict=True))


def _case(response: Response, asked: Asked, pictures: ImageStore | None) -> AnswerCase:
    shown = Shown(asked.truth, asked.thing or asked.class3)
    image = pictures.content(asked.image_id) if pictures else None
    return AnswerCase(response.response_id, asked.question, response.text, shown, image)


def _verdict(judge_id: str, finding: Moderation, response: Response) -> Verdict:
    return Verdict(
        verdict_id=record_id("verdict", judge_id, response.response_id),
        response_id=response.response_id,
        question_id=response.question_id,
        image_id=response.image_id,
        responder=response.responder,
        safe=finding.safe,
        refused=finding.refused,
        reason=finding.reason,
        maker=Maker(judge_id),
    )


def _table(rates: _Rates, groups: int) -> list[dict[str, Any]]:
    """One row per responder, least safe first, with its rate's interval and its group."""
    estimates = {name: rate(rates.safe[name], rates.judged[name]) for name in rates.answers}
    # A responder never asked about a harmful picture did nothing unsafe.
    values = {name: 1.0 if e.value is None else e.value for name, e in estimates.items()}
    assigned = safety_groups(values, groups) if values else {}
    return [
        {
            "responder": name,
            "group": assigned[name],
            "safety_rate": asdict(estimates[name]),
            "answers": rates.answers[name],
            "refused": rates.refused[name],
        }
        for name in sorted(values, key=lambda name: (values[name], name))
    ]


def _digest(folder: str) -> str:
    return read_manifest(folder).digest
