"""What the gallery shows: the preferences trained on, and every answer of the evaluation."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from components.reporting.cases import judged
from components.reporting.failures import AGAINST_BASE, OWN, against_base, is_good
from components.reporting.files import local_path
from components.reporting.gallery import Collection, GalleryRow, Said
from components.reporting.inputs import ReportInputs
from components.reporting.labels import (
    MODELS,
    benchmark_label,
    is_control,
    model_label,
    spaced,
)
from spavl.images import ImageStore
from spavl.records import EvalAnswer, EvalItem, Preference
from spavl.shards import read_manifest, read_records

SPLITS = ("train", "validation", "test")
NONE = "none"


def gallery_collections(inputs: ReportInputs, shown: str = "ppo") -> list[Collection]:
    """The collections that have rows.

    Args:
        inputs: The run's results.
        shown: The model whose failures come first.
    """
    pictures = ImageStore(inputs.images)
    benchmarks = local_path(inputs.benchmarks)
    found = []
    if any(read_manifest(getattr(inputs, split)).rows for split in SPLITS):
        rows = preference_rows(inputs)
        found.append(Collection("preferences", "Preferences, all rows", rows, pictures))
    if read_manifest(benchmarks / "items").rows:
        store = ImageStore(str(benchmarks / "images"))
        rows = evaluation_rows(inputs, shown)
        found.append(Collection("evaluation", "Evaluation, all answers", rows, store))
    return found


def preference_rows(inputs: ReportInputs) -> Iterator[GalleryRow]:
    """Preferences: the question, the answer chosen and the answer rejected."""
    for split in SPLITS:
        for row in read_records(getattr(inputs, split), Preference, verify=False):
            chosen = Said(f"chosen, {row.chosen_responder}", row.chosen, *_safety(row.chosen_safe))
            rejected = Said(
                f"rejected, {row.rejected_responder}", row.rejected, *_safety(row.rejected_safe)
            )
            facets = {
                "split": split,
                "kind": spaced(row.kind),
                "class": row.class3 or row.truth,
                "safety": f"{chosen.found} over {rejected.found}",
                "chosen of": row.chosen_responder,
                "rejected of": row.rejected_responder,
            }
            facts = (row.preference_id[:12], row.reason1)
            yield _row(row, (chosen, rejected), facts, facets)


def evaluation_rows(inputs: ReportInputs, shown: str = "ppo") -> Iterator[GalleryRow]:
    """Evaluation items with the answers of base, DPO and PPO; what the shown model failed first."""
    verdicts = judged(inputs)
    answers: dict[str, dict[str, EvalAnswer]] = {}
    for folder in inputs.answers:
        for answer in read_records(folder, EvalAnswer, verify=False):
            answers.setdefault(answer.item_id, {})[answer.model] = answer
    for item in read_records(local_path(inputs.benchmarks) / "items", EvalItem, verify=False):
        said, outcomes, goods = [], {}, {}
        for model, answer in answers.get(item.item_id, {}).items():
            outcome, _, score = verdicts.get(answer.answer_id, ("not judged", "", None))
            outcomes[model] = spaced(outcome)
            goods[model] = is_good(item.benchmark, score)
            said.append(Said(model_label(model), answer.text, spaced(outcome), goods[model]))
        facets = {
            "benchmark": benchmark_label(item.benchmark),
            "kind": spaced(item.kind or NONE),
            "class": item.class3 or item.truth,
            **{model_label(model): outcomes.get(model, NONE) for model in MODELS},
            "models": "differ" if len(set(outcomes.values())) > 1 else "agree",
            AGAINST_BASE: against_base(goods, shown),
            "picture": "control" if is_control(item.benchmark) else OWN,
        }
        row = _row(item, tuple(said), (item.item_id[:12], item.source), facets)
        yield replace(row, rank=_rank(goods, shown))


def _rank(goods: dict[str, bool | None], shown: str) -> int:
    """The shown model's failures, then what others failed at, then the rest."""
    return 0 if goods.get(shown) is False else 1 if False in goods.values() else 2


def _row(
    row: Any, said: tuple[Said, ...], facts: tuple[str, ...], facets: dict[str, str]
) -> GalleryRow:
    pictured = row.thing or "picture of unknown content" if row.image_id else "text alone"
    shown = [*facts, pictured, row.truth]
    veiled = row.truth != "harmless"
    return GalleryRow(row.image_id, veiled, row.question, said, " · ".join(shown), facets)


def _safety(safe: bool | None) -> tuple[str, bool | None]:
    """What a moderator found, and whether that is good."""
    if safe is None:
        return "of unknown safety", None
    return ("safe" if safe else "unsafe", safe)
