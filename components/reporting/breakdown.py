"""The judged answers broken down: harm by class of the taxonomy, outcomes by benchmark."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from components.reporting.files import local_path
from components.reporting.inputs import ReportInputs
from components.reporting.labels import MODELS, benchmark_order, counts_faults, is_control
from spavl.records import EvalItem, EvalVerdict
from spavl.shards import read_rows
from spavl.statistics import Estimate, rate
from spavl.taxonomy import load_taxonomy

OUTSIDE = "outside the taxonomy"
COMPARED = ("win", "tie", "loss")


@dataclass(frozen=True)
class ClassRow:
    """A class of harm, where it lies, and the unsafe share of each model's answers on it."""

    domain: str
    category: str
    name: str
    figures: dict[str, Estimate]


@dataclass(frozen=True)
class Breakdown:
    """Judged answers, counted.

    Attributes:
        harm: Benchmark to its classes in the taxonomy's order; only benchmarks that count faults
            and know classes.
        outcomes: Benchmark to model to outcome to number of answers.
    """

    harm: dict[str, list[ClassRow]]
    outcomes: dict[str, dict[str, dict[str, int]]]

    def worst(self, model: str, most: int) -> list[tuple[str, ClassRow]]:
        """Benchmark and class where a model fails most, the worst first; none without a fault."""
        found = [
            (benchmark, row)
            for benchmark, rows in self.harm.items()
            for row in rows
            if model in row.figures and row.figures[model].value
        ]
        found.sort(key=lambda each: (-(each[1].figures[model].value or 0), each[1].name))
        return found[:most]

    def compared(self) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        """(benchmark, model, (wins, ties, losses)) where answers were compared with the base's."""
        for benchmark, models in self.outcomes.items():
            for model, found in models.items():
                if model != "base" and set(found) & {"win", "loss"}:
                    yield benchmark, model, tuple(found.get(name, 0) for name in COMPARED)


def break_down(inputs: ReportInputs) -> Breakdown:
    """Count the verdicts by class and by outcome; answers without a verdict count as outcomes."""
    folder = local_path(inputs.benchmarks) / "items"
    classes = {
        row["item_id"]: row["class3"]
        for row in read_rows(folder, EvalItem, ["item_id", "class3"], verify=False)
    }
    harm: dict[str, Counter[tuple[str, str, bool]]] = defaultdict(Counter)
    outcomes: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    columns = ["item_id", "benchmark", "model", "outcome", "score"]
    verdicts = read_rows(local_path(inputs.figures) / "verdicts", EvalVerdict, columns, False)
    for row in verdicts:
        if row["model"] not in MODELS or is_control(row["benchmark"]):
            continue
        outcomes[row["benchmark"]][row["model"]][row["outcome"]] += 1
        name = classes.get(row["item_id"])
        if name and row["score"] is not None and counts_faults(row["benchmark"]):
            harm[row["benchmark"]][name, row["model"], row["score"] == 1] += 1
    order = sorted(outcomes, key=benchmark_order)
    return Breakdown(
        {name: _class_rows(harm[name]) for name in order if harm[name]},
        {
            name: {model: dict(outcomes[name][model]) for model in MODELS if outcomes[name][model]}
            for name in order
        },
    )


def _class_rows(counts: Counter[tuple[str, str, bool]]) -> list[ClassRow]:
    names = {name for name, _, _ in counts}
    taxonomy = load_taxonomy()
    placed = [(c.domain, c.category, c.name) for c in taxonomy.classes if c.name in names]
    known = {name for *_, name in placed}
    placed += [(OUTSIDE, OUTSIDE, name) for name in sorted(names - known)]
    rows = []
    for domain, category, name in placed:
        figures = {}
        for model in MODELS:
            unsafe, rest = counts[name, model, True], counts[name, model, False]
            if unsafe + rest:
                figures[model] = rate(unsafe, unsafe + rest)
        rows.append(ClassRow(domain, category, name, figures))
    return rows
