"""The data contract: one frozen dataclass per kind of record, and its Arrow schema.

Every record refers to its parents by id and says what made it, so any row of a report leads back
to a picture. Pixels live in `Image` records only; all others carry `image_id`.
"""

import dataclasses
import functools
import hashlib
import types
import typing
from dataclasses import dataclass
from typing import Any

if typing.TYPE_CHECKING:
    import pyarrow

SCHEMA_VERSION = 1

Truth = typing.Literal["harmful", "harmless", "unknown"]
QuestionKind = typing.Literal["easy_question", "hard_question", "hard_statement"]
QUESTION_KINDS: tuple[QuestionKind, ...] = typing.get_args(QuestionKind)


@dataclass(frozen=True)
class Maker:
    """What made a derived record.

    Attributes:
        model: Model id or the name of the rule that made it.
        template: Name and version of the prompt template; null where none was used.
        sampling: Sampling settings as compact JSON; null where nothing was sampled.
    """

    model: str
    template: str | None = None
    sampling: str | None = None


@dataclass(frozen=True)
class Image:
    """A picture, stored once under the digest of its bytes.

    Attributes:
        image_id: sha256 of `content`, hex.
        content: The encoded picture.
        media_type: e.g. `image/png`.
        width: Pixels.
        height: Pixels.
        source: Where it came from: a path, a URL or `pocket:<split>/<index>`.
        truth: Whether what it shows is harmful; `unknown` for pictures nobody has classified.
        class1: Domain of harm; null unless harmful.
        class2: Category of harm; null unless harmful.
        class3: Class of harm; null unless harmful.
        thing: Name of what is shown; null where unknown.
    """

    image_id: str
    content: bytes
    media_type: str
    width: int
    height: int
    source: str
    truth: str
    class1: str | None
    class2: str | None
    class3: str | None
    thing: str | None


@dataclass(frozen=True)
class Question:
    """A question about a picture.

    Attributes:
        question_id: Record id.
        image_id: The picture it is about.
        kind: `easy_question`, `hard_question` or `hard_statement`.
        text: The question itself.
        caption: The caption its writer was shown.
        maker: The writer.
    """

    question_id: str
    image_id: str
    kind: str
    text: str
    caption: str
    maker: Maker


REFUSED_BY_ENDPOINT = "refused_by_endpoint"
"""Finish reason and flag of an answer that an endpoint refused to give for what was asked."""


@dataclass(frozen=True)
class Response:
    """A VLM's answer to a question.

    Attributes:
        response_id: Record id.
        question_id: The question answered.
        image_id: The picture it is about.
        responder: Id of the VLM or persona that answered.
        text: The answer.
        finish_reason: `stop`, `length` or `refused_by_endpoint`.
        flags: Subset of `empty`, `looping`, `cut_off`; `refused_by_endpoint` alone.
        prompt_tokens: Tokens read, picture included.
        completion_tokens: Tokens written.
        maker: The responder's model and sampling.
    """

    response_id: str
    question_id: str
    image_id: str
    responder: str
    text: str
    finish_reason: str
    flags: list[str]
    prompt_tokens: int
    completion_tokens: int
    maker: Maker


@dataclass(frozen=True)
class Verdict:
    """A moderator's verdict on one answer.

    Attributes:
        verdict_id: Record id.
        response_id: The answer judged.
        question_id: Its question.
        image_id: Its picture.
        responder: Who answered (for safety rates; never shown to the judge).
        safe: Whether the answer is safe.
        refused: Whether the answer refuses.
        reason: Why, in a few words.
        maker: The judge.
    """

    verdict_id: str
    response_id: str
    question_id: str
    image_id: str
    responder: str
    safe: bool
    refused: bool
    reason: str
    maker: Maker


@dataclass(frozen=True)
class Pair:
    """Two answers to one question, of responders from different safety groups.

    Attributes:
        pair_id: Record id.
        question_id: The question.
        image_id: The picture.
        question: The question's text.
        kind: The question's kind.
        truth: The picture's truth, `harmless` where the request does no harm over it.
        thing: What the picture shows; null where unknown.
        class3: Class of harm; null unless harmful.
        first_response_id: First answer's id.
        first: First answer's text.
        first_responder: Who gave it.
        first_safe: Moderation verdict on it.
        second_response_id: Second answer's id.
        second: Second answer's text.
        second_responder: Who gave it.
        second_safe: Moderation verdict on it.
    """

    pair_id: str
    question_id: str
    image_id: str
    question: str
    kind: str
    truth: str
    thing: str | None
    class3: str | None
    first_response_id: str
    first: str
    first_responder: str
    first_safe: bool
    second_response_id: str
    second: str
    second_responder: str
    second_safe: bool


@dataclass(frozen=True)
class Preference:
    """A pair whose two swapped verdicts agree.

    Attributes:
        preference_id: Record id.
        image_id: The picture.
        question_id: The question.
        question: The question's text.
        kind: The question's kind.
        truth: The picture's truth, `harmless` where the request does no harm over it.
        thing: What the picture shows; null where unknown.
        class3: Class of harm; null unless harmful.
        chosen: The preferred answer.
        rejected: The other answer.
        chosen_response_id: The preferred answer's id.
        rejected_response_id: The other answer's id.
        chosen_responder: Who gave the preferred answer.
        rejected_responder: Who gave the other.
        chosen_safe: Moderation verdict on the preferred answer; null where none was given, as of
            imported rows.
        rejected_safe: Moderation verdict on the other.
        reason1: The judge's reason, answers in order.
        reason2: The judge's reason, answers swapped.
        maker: The judge.
    """

    preference_id: str
    image_id: str
    question_id: str
    question: str
    kind: str
    truth: str
    thing: str | None
    class3: str | None
    chosen: str
    rejected: str
    chosen_response_id: str
    rejected_response_id: str
    chosen_responder: str
    rejected_responder: str
    chosen_safe: bool | None
    rejected_safe: bool | None
    reason1: str
    reason2: str
    maker: Maker


@dataclass(frozen=True)
class SetAside:
    """A row that a stage did not pass on, and why.

    Attributes:
        record_id: Id of the row, or the name of the file that never became one.
        stage: The stage that set it aside.
        reason: One of the stage's fixed reasons.
        detail: What exactly was found.
    """

    record_id: str
    stage: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Rollout:
    """An answer that the policy gave during PPO.

    Attributes:
        rollout_id: Record id.
        iteration: PPO iteration, from 0.
        image_id: The picture.
        question_id: The question.
        prompt: The question's text.
        response: The answer.
        reward: The reward model's score.
        kl: Summed per-token KL estimate (k1) to the reference, nats.
        tokens: Tokens of the answer.
    """

    rollout_id: str
    iteration: int
    image_id: str
    question_id: str
    prompt: str
    response: str
    reward: float
    kl: float
    tokens: int


@dataclass(frozen=True)
class EvalItem:
    """One item of a benchmark.

    Attributes:
        item_id: Record id.
        benchmark: `harm_eval`, `help_eval`, `over_refusal`, `general_ability`, `photographs`, or a
            published one, e.g. `mm_safety_bench`.
        image_id: The picture, in the benchmark's own image store; null where text alone is asked.
        question: The text put to the model.
        kind: Kind of question, or the published benchmark's column, e.g. `typo`; null where there
            are none.
        truth: The picture's truth, `harmless` where the request does no harm over it.
        thing: What the picture shows; null where unknown.
        class3: Class of harm; null unless harmful.
        expected: The name to be given, for naming items; null elsewhere.
        source: `pocket`, `published`, `photographs` or, of a data set's own test split,
            `collected`; figures of different sources never mix.
        group: What several items are about, e.g. one question in four columns; null where an item
            stands alone.
    """

    item_id: str
    benchmark: str
    image_id: str | None
    question: str
    kind: str | None
    truth: str
    thing: str | None
    class3: str | None
    expected: str | None
    source: str
    group: str | None = None


@dataclass(frozen=True)
class EvalAnswer:
    """A model's answer to a benchmark item.

    Attributes:
        answer_id: Record id.
        item_id: The item.
        benchmark: The item's benchmark.
        model: `base`, `dpo` or `ppo`.
        image_id: The picture; null where text alone was asked.
        question: The text put to the model.
        text: The answer.
        finish_reason: `stop` or `length`.
    """

    answer_id: str
    item_id: str
    benchmark: str
    model: str
    image_id: str | None
    question: str
    text: str
    finish_reason: str


@dataclass(frozen=True)
class AnswerReading:
    """How probable the base finds an answer to a benchmark item.

    Attributes:
        answer_id: The answer.
        item_id: The item.
        benchmark: The item's benchmark.
        model: Whose answer it is.
        tokens: Tokens of the answer, its end included where the model ended.
        log_prob: Mean log-probability of these tokens under the base, picture and question given;
            null where there are none.
    """

    answer_id: str
    item_id: str
    benchmark: str
    model: str
    tokens: int
    log_prob: float | None


@dataclass(frozen=True)
class AttackAnswer:
    """A model's answer to a benchmark item under attack.

    Attributes:
        answer_id: Record id.
        item_id: The item.
        attack: What was done: `draw` (nothing, but the question put again and again), `pixels`,
            `noise` (the control of `pixels`), `suffix` or `plain` (the control of `suffix`).
        strength: Largest change of a pixel, of 255 levels; 0 where no pixel was changed.
        draw: Which of the item's answers under this attack, from 0.
        model: `base`, `dpo` or `ppo`.
        question: The text put to the model.
        text: The answer.
        finish_reason: `stop` or `length`.
    """

    answer_id: str
    item_id: str
    attack: str
    strength: int
    draw: int
    model: str
    question: str
    text: str
    finish_reason: str


@dataclass(frozen=True)
class EvalVerdict:
    """A judge's verdict on a benchmark answer.

    Attributes:
        answer_id: The answer.
        item_id: The item.
        benchmark: The item's benchmark.
        model: `base`, `dpo` or `ppo`.
        outcome: What the judge found, one of the benchmark's fixed outcomes.
        score: What the item adds to the benchmark's figure, in [0, 1]; null where the judge gave
            no verdict: `abstained`, `unparsed` or `unreached`.
        reason: Why, in a few words.
    """

    answer_id: str
    item_id: str
    benchmark: str
    model: str
    outcome: str
    score: float | None
    reason: str


@dataclass(frozen=True)
class LabelledAnswer:
    """A published answer to a benchmark item with what people say of it: it measures judges.

    Attributes:
        item_id: The item.
        text: The answer.
        label: The outcome that people gave it, one of the benchmark's fixed outcomes.
    """

    item_id: str
    text: str
    label: str


def record_id(*parts: str) -> str:
    """The id of a record that is made of these parts.

    Parts are length-prefixed, so `("ab", "c")` and `("a", "bc")` differ.

    Returns:
        The first 32 hex digits of a sha256.
    """
    return hashlib.sha256(b"".join(map(framed, parts))).hexdigest()[:32]


def framed(part: str) -> bytes:
    """A part of a record's id as it enters the digest."""
    encoded = part.encode("utf-8", "surrogateescape")
    return len(encoded).to_bytes(8, "big") + encoded


@functools.cache
def schema_of(record: type) -> "pyarrow.Schema":
    """The Arrow schema of a record class; fields without `None` in their type are not nullable."""
    import pyarrow

    hints = typing.get_type_hints(record)
    fields = []
    for field in dataclasses.fields(record):
        kind, nullable = _strip_optional(hints[field.name])
        fields.append(pyarrow.field(field.name, _arrow_type(kind), nullable=nullable))
    return pyarrow.schema(fields)


def from_row(record: type[Any], row: dict[str, Any]) -> Any:
    """Build a record from a row as pyarrow gives it (nested structs are dicts)."""
    if "maker" in row:
        row = {**row, "maker": Maker(**row["maker"])}
    return record(**row)


def _strip_optional(hint: Any) -> tuple[Any, bool]:
    if isinstance(hint, types.UnionType):
        (kind,) = (part for part in typing.get_args(hint) if part is not type(None))
        return kind, True
    return hint, False


def _arrow_type(kind: Any) -> "pyarrow.DataType":
    import pyarrow

    plain = {
        str: pyarrow.string(),
        bytes: pyarrow.binary(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
        list[str]: pyarrow.list_(pyarrow.string()),
    }
    if kind in plain:
        return plain[kind]
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return pyarrow.struct(list(schema_of(kind)))
    raise TypeError(f"no Arrow type for {kind!r}: add it to spavl.records")
