"""Case studies: evaluation items with their picture and what each model answered."""

from collections import defaultdict
from dataclasses import dataclass

from components.reporting.failures import is_good
from components.reporting.files import local_path
from components.reporting.inputs import ReportInputs
from components.reporting.labels import MODELS, benchmark_order, counts_faults, is_control
from spavl.images import ImageStore, picture_uri
from spavl.records import EvalAnswer, EvalItem, EvalVerdict
from spavl.shards import read_records, read_rows

Judged = dict[str, tuple[str, str, float | None]]
"""Outcome, reason and score by answer id."""


@dataclass(frozen=True)
class CaseAnswer:
    """One model's answer to an item.

    Attributes:
        model: `base`, `dpo` or `ppo`.
        text: The answer, cut to the length that the report shows.
        outcome: What the judge found; empty where the item is not judged.
        reason: Why.
        good: Whether the outcome is the wanted one; None where it is neither, as in a tie.
    """

    model: str
    text: str
    outcome: str
    reason: str
    good: bool | None


@dataclass(frozen=True)
class Case:
    """An item, its picture as a data URI (empty without one), and the answers base, DPO, PPO.

    `failed` says whether the model that the report is about failed at it.
    """

    item: EvalItem
    picture: str
    answers: tuple[CaseAnswer, ...]
    failed: bool

    @property
    def differs(self) -> bool:
        """Whether the models' outcomes differ."""
        return len({answer.outcome for answer in self.answers}) > 1


def case_studies(
    inputs: ReportInputs, count: int, pixels: int, answer_characters: int, shown: str = "ppo"
) -> list[Case]:
    """Items that the shown model failed at, harm first; then the rest, evenly over the benchmarks.

    Of the rest those come first that tell the models apart.

    Args:
        inputs: The run's results.
        count: Items at most.
        pixels: Longest side of the pictures.
        answer_characters: Longer answers are cut.
        shown: The model whose failures come first.
    """
    verdicts = judged(inputs)
    failed = _failed(inputs, verdicts, shown)[:count]
    wanted = failed + _choose(inputs, verdicts, count - len(failed), set(failed))
    answers = _answers(inputs, set(wanted))
    items = {item.item_id: item for item in _items(inputs) if item.item_id in set(wanted)}
    store = ImageStore(str(local_path(inputs.benchmarks) / "images"))
    return [
        Case(
            items[item_id],
            _picture(store, items[item_id].image_id, pixels),
            tuple(
                _case_answer(answers[item_id][model], verdicts, answer_characters)
                for model in MODELS
                if model in answers[item_id]
            ),
            item_id in failed,
        )
        for item_id in wanted
    ]


def _picture(store: ImageStore, image_id: str | None, pixels: int) -> str:
    return "" if image_id is None else picture_uri(store, image_id, pixels)


def judged(inputs: ReportInputs) -> Judged:
    """What the judge found of every answer."""
    folder = local_path(inputs.figures) / "verdicts"
    return {v.answer_id: (v.outcome, v.reason, v.score) for v in read_records(folder, EvalVerdict)}


def _failed(inputs: ReportInputs, verdicts: Judged, shown: str) -> list[str]:
    """Item ids: benchmarks of faults first, each in its place of the data table."""
    found = []
    columns = ["answer_id", "item_id", "benchmark", "model"]
    for folder in inputs.answers:
        for row in read_rows(folder, EvalAnswer, columns):
            benchmark, score = row["benchmark"], verdicts.get(row["answer_id"], ("", "", None))[2]
            judged_bad = row["model"] == shown and is_good(benchmark, score) is False
            if judged_bad and not is_control(benchmark):
                order = (not counts_faults(benchmark), benchmark_order(benchmark))
                found.append((order, row["item_id"]))
    return [item for _, item in sorted(found)]


def _choose(inputs: ReportInputs, verdicts: Judged, count: int, but: set[str]) -> list[str]:
    """Item ids: benchmarks in turn, within each the items with differing outcomes first."""
    outcomes: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for folder in inputs.answers:
        for row in read_rows(folder, EvalAnswer, ["answer_id", "item_id", "benchmark"]):
            if is_control(row["benchmark"]) or row["item_id"] in but:
                continue
            outcome = verdicts.get(row["answer_id"], ("", "", None))[0]
            outcomes[row["benchmark"]][row["item_id"]].add(outcome)
    queues = {
        name: [item for _, item in sorted((len(seen) == 1, item) for item, seen in found.items())]
        for name, found in outcomes.items()
    }
    chosen: list[tuple[tuple[int, str], str]] = []
    while len(chosen) < count and any(queues.values()):
        for name in sorted(queues, key=benchmark_order):
            if queues[name] and len(chosen) < count:
                chosen.append((benchmark_order(name), queues[name].pop(0)))
    return [item for _, item in sorted(chosen, key=lambda each: each[0])]


def _answers(inputs: ReportInputs, wanted: set[str]) -> dict[str, dict[str, EvalAnswer]]:
    found: dict[str, dict[str, EvalAnswer]] = {item: {} for item in wanted}
    for folder in inputs.answers:
        for answer in read_records(folder, EvalAnswer):
            if answer.item_id in wanted:
                found[answer.item_id][answer.model] = answer
    return found


def _items(inputs: ReportInputs) -> list[EvalItem]:
    return list(read_records(local_path(inputs.benchmarks) / "items", EvalItem))


def _case_answer(answer: EvalAnswer, verdicts: Judged, characters: int) -> CaseAnswer:
    text = answer.text if len(answer.text) <= characters else answer.text[:characters] + " […]"
    outcome, reason, score = verdicts.get(answer.answer_id, ("", "", None))
    good = is_good(answer.benchmark, score)
    return CaseAnswer(answer.model, text, outcome, reason, good)
