"""What still goes wrong: the shown model's bad outcomes, counted, each with its way to the gallery.

Counts and the gallery's filters go by the same facets, so that a link shows as many rows as it
says.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from components.reporting.files import local_path
from components.reporting.inputs import ReportInputs
from components.reporting.labels import (
    MODELS,
    benchmark_label,
    benchmark_order,
    counts_faults,
    is_control,
    model_label,
    spaced,
)
from spavl.records import EvalVerdict
from spavl.shards import read_rows

AGAINST_BASE = "against base"
OWN = "own"
COLUMNS = ("item_id", "benchmark", "model", "outcome", "score")
GALLERY = "gallery/evaluation.html"


@dataclass(frozen=True)
class FailureRow:
    """One bad outcome on one benchmark.

    Attributes:
        benchmark: The benchmark's key.
        outcome: What the judge found.
        n: Answers of the shown model with it.
        of: All its answers there.
        worse: Those of them where the base's answer was good.
    """

    benchmark: str
    outcome: str
    n: int
    of: int
    worse: int


@dataclass(frozen=True)
class Failures:
    """The shown model's bad outcomes, harm first."""

    model: str
    rows: tuple[FailureRow, ...]

    @property
    def unsafe(self) -> int:
        """All its unsafe answers, on whatever benchmark."""
        return sum(row.n for row in self.rows if row.outcome == "unsafe")

    def link(self, benchmark: str = "", outcome: str = "", worse: bool = False) -> str:
        """The gallery with the filter set to some of them."""
        facets = {
            "benchmark": benchmark and benchmark_label(benchmark),
            model_label(self.model): spaced(outcome),
            AGAINST_BASE: "worse" if worse else "",
            "picture": OWN,
        }
        return f"{GALLERY}#{urlencode({name: value for name, value in facets.items() if value})}"


def is_good(benchmark: str, score: float | None) -> bool | None:
    """Whether a score is the wanted one; None where it is neither, or where there is none."""
    return None if score not in (0, 1) else (score == 1) != counts_faults(benchmark)


def against_base(good: Mapping[str, bool | None], model: str) -> str:
    """How an item went with a model, held against the base."""
    base, mine = good.get("base"), good.get(model)
    if base is None or mine is None or base == mine:
        return "same"
    return "better" if mine else "worse"


def find_failures(inputs: ReportInputs, model: str) -> Failures:
    """Count them."""
    counts: Counter[tuple[str, str]] = Counter()
    worse: Counter[tuple[str, str]] = Counter()
    answers: Counter[str] = Counter()
    base = dict(_goods(inputs, "base"))
    for (item, benchmark, outcome), good in _judged(inputs, model):
        answers[benchmark] += 1
        if good is False:
            counts[benchmark, outcome] += 1
            worse[benchmark, outcome] += base.get(item) is True
    order = sorted(counts, key=lambda key: (not counts_faults(key[0]), benchmark_order(key[0])))
    rows = (FailureRow(*key, counts[key], answers[key[0]], worse[key]) for key in order)
    return Failures(model, tuple(rows))


def _goods(inputs: ReportInputs, model: str) -> Iterator[tuple[str, bool | None]]:
    for (item, _, _), good in _judged(inputs, model):
        yield item, good


def _judged(inputs: ReportInputs, model: str) -> Iterator[tuple[tuple[str, str, str], bool | None]]:
    """Item, benchmark and outcome of a model's judged answers, and whether that is good."""
    folder = local_path(inputs.figures) / "verdicts"
    for row in read_rows(folder, EvalVerdict, list(COLUMNS), False):
        if row["model"] == model and model in MODELS and not is_control(row["benchmark"]):
            good = is_good(row["benchmark"], row["score"])
            yield (row["item_id"], row["benchmark"], row["outcome"]), good
