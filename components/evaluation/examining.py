"""Examining: one model answers our benchmarks and, where asked, lmms-eval's."""

from typing import Any

from components.evaluation.answering import answer
from components.evaluation.capabilities import measure
from spavl.work import Reference


def examine(
    settings: dict[str, Any], name: str, model: Reference, benchmarks: Reference, output: str
) -> None:
    """Writes one model's answers, and beside them what lmms-eval measured of it.

    Args:
        settings: Raw `EvaluationSettings`.
        name: `base`, `dpo` or `ppo`.
        model: The model's folder.
        benchmarks: The benchmarks' folder.
        output: Output data set of answers; `capabilities.json` is added to it.
    """
    answer(settings, name, model, benchmarks, output)
    measure(settings, name, model, output)
