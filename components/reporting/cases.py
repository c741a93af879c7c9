"""Case studies: evaluation items with their picture and what each model answered."""

from collections import defaultdict
from dataclasses import dataclass

from components.reporting.files import local_path
from components.reporting.inputs import ReportInputs
from components.reporting.summary import METRICS, MODELS
from spavl.images import ImageStore, picture_uri
from spavl.records import EvalAnswer, EvalItem, EvalVerdict
from spavl.shards import read_records, read_rows

BENCHMARKS = ("harm_eval", "over_refusal", "help_eval", "general_ability", "photographs")


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
    """An item, its picture as a data URI (empty without one), and the answers base, DPO, PPO."""

    item: EvalItem
    picture: str
    answers: tuple[CaseAnswer, ...]


def case_studies(
    inputs: ReportInputs, count: int, pixels: int, answer_characters: int
) -> list[Case]:
    """Pick items evenly over the benchmarks, those that tell the models apart first.

    Args:
        inputs: The run's results.
        count: Items at most.
        pixels: Longest side of the pictures.
        answer_characters: Longer answers are cut.
    """
    verdicts = _verdicts(inputs)
    wanted = _choose(inputs, verdicts, count)
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
        )
        for item_id in wanted
    ]


def _picture(store: ImageStore, image_id: str | None, pixels: int) -> str:
    return "" if image_id is None else picture_uri(store, image_id, pixels)


def _verdicts(inputs: ReportInputs) -> dict[str, tuple[str, str, float | None]]:
    """Outcome, reason and score by answer id."""
    folder = local_path(inputs.figures) / "verdicts"
    return {v.answer_id: (v.outcome, v.reason, v.score) for v in read_records(folder, EvalVerdict)}


def _choose(
    inputs: ReportInputs, verdicts: dict[str, tuple[str, str, float | None]], count: int
) -> list[str]:
    """Item ids: benchmarks in turn, within each the items with differing outcomes first."""
    outcomes: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for folder in inputs.answers:
        for row in read_rows(folder, EvalAnswer, ["answer_id", "item_id", "benchmark"]):
            outcome = verdicts.get(row["answer_id"], ("", "", 0.0))[0]
            outcomes[row["benchmark"]][row["item_id"]].add(outcome)
    queues = {
        name: [item for _, item in sorted((len(seen) == 1, item) for item, seen in found.items())]
        for name, found in outcomes.items()
    }
    chosen: list[str] = []
    while len(chosen) < count and any(queues.values()):
        for name in (*BENCHMARKS, *sorted(set(queues) - set(BENCHMARKS))):
            if queues.get(name) and len(chosen) < count:
                chosen.append(queues[name].pop(0))
    position = {name: index for index, name in enumerate(BENCHMARKS)}
    benchmark = {item: name for name, found in outcomes.items() for item in found}
    return sorted(chosen, key=lambda item: position.get(benchmark[item], len(position)))


def _answers(inputs: ReportInputs, wanted: set[str]) -> dict[str, dict[str, EvalAnswer]]:
    found: dict[str, dict[str, EvalAnswer]] = {item: {} for item in wanted}
    for folder in inputs.answers:
        for answer in read_records(folder, EvalAnswer):
            if answer.item_id in wanted:
                found[answer.item_id][answer.model] = answer
    return found


def _items(inputs: ReportInputs) -> list[EvalItem]:
    return list(read_records(local_path(inputs.benchmarks) / "items", EvalItem))


def _scores_faults(benchmark: str) -> bool:
    """Whether a benchmark's score is itself the fault: an unsafe answer, a harmless refusal."""
    return any(m.lower_is_better and m.key.startswith(benchmark) for m in METRICS)


def _case_answer(
    answer: EvalAnswer, verdicts: dict[str, tuple[str, str, float | None]], characters: int
) -> CaseAnswer:
    text = answer.text if len(answer.text) <= characters else answer.text[:characters] + " […]"
    if answer.answer_id not in verdicts:
        return CaseAnswer(answer.model, text, "", "", None)
    outcome, reason, score = verdicts[answer.answer_id]
    good = None if score not in (0, 1) else (score == 1) != _scores_faults(answer.benchmark)
    return CaseAnswer(answer.model, text, outcome, reason, good)
