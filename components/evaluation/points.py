"""An ablation's points: each answers the benchmarks, and all are judged together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.evaluation.answering import answer
from spavl.points import Point
from spavl.storage import local_copy
from spavl.work import Reference


def answer_points(
    settings: dict[str, Any],
    names: Sequence[str],
    points: Mapping[str, Point],
    models: Mapping[str, Mapping[str, str]],
    benchmarks: Reference,
    output: str,
) -> None:
    """Writes the answers of some points, a data set each.

    Args:
        settings: Raw `EvaluationSettings`.
        names: Ids of the points.
        points: Every point by id.
        models: `uri` and `digest` of every trained model by the point's id, and of every base model
            by its backbone's name.
        benchmarks: The benchmarks' folder.
        output: Output folder; the data sets lie below it.
    """
    Path(output).mkdir(parents=True, exist_ok=True)
    for name in names:
        point = points[name]
        found = models[point.backbone if point.method == "base" else name]
        model = Reference(str(local_copy(found["uri"])), found["digest"])
        answer(settings, name, model, benchmarks, str(Path(output) / name))
