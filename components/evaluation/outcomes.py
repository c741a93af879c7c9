"""Item by item scores of every model: what the gate compares models by, and what a line keeps."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.evaluation.figures import Making, Scored, half_of, rows_of, scores_of
from components.evaluation.items import clusters_of
from spavl.errors import InputError
from spavl.statistics import Estimate, paired_difference

OUTCOMES = "outcomes.json"
Scores = Mapping[str, float]
"""Scores by item."""


@dataclass(frozen=True)
class Outcomes:
    """The content of `outcomes.json`.

    Attributes:
        items: Of every item its `half`, in `clusters` what it shares with others (its picture and
            its text), and its `group` where several items ask one question.
        scores: Scores by model, figure and item.
    """

    items: Mapping[str, Mapping[str, Any]]
    scores: Mapping[str, Mapping[str, Scores]]

    def of(self, model: str, figure: str) -> Scores:
        """A model's scores; none where it was not asked."""
        return self.scores.get(model, {}).get(figure, {})

    def shared(self, first: Scores, second: Scores, half: str) -> list[str]:
        """Items of a half that both have a score for."""
        both = first.keys() & second.keys() & self.items.keys()
        return sorted(item for item in both if self.items[item]["half"] == half)

    def change(self, first: Scores, second: Scores, half: str, confidence: float) -> Estimate:
        """The mean of second - first on the items of a half, with its interval.

        Pictures are a sample, and so are questions that a benchmark asks in several columns. Other
        texts are the benchmark's own, and two models are held against each other on just these.
        """
        shared = self.shared(first, second, half)
        before, after = ([scores[i] for i in shared] for scores in (first, second))
        clusters = [self._clusters(item) for item in shared]
        return paired_difference(before, after, clusters, confidence)

    def _clusters(self, item: str) -> tuple[str | None, str | None]:
        found = self.items[item]
        return found["clusters"][0], found.get("group")


def outcomes_of(scored: list[Scored], making: Making) -> dict[str, Any]:
    """What `outcomes.json` holds."""
    items = {
        row.item.item_id: {
            "half": half_of(row.item.group or row.item.image_id or row.item.item_id, making.seed),
            "clusters": list(clusters_of(row.item)),
            "group": row.item.group,
        }
        for row in scored
    }
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for model in sorted({row.model for row in scored}):
        for metric in making.metrics:
            if found := scores_of(metric, rows_of(metric, scored, model)):
                told = {item: float(score) for item, score in sorted(found.items())}
                scores.setdefault(model, {})[metric.key] = told
    return {"items": items, "scores": scores}


def read_outcomes(folder: Path) -> Outcomes:
    """The outcomes that lie beside `figures.json`."""
    path = folder / OUTCOMES
    try:
        return Outcomes(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"unreadable: {error}", str(path), "score the answers again") from None
