"""Examining: one model answers our benchmarks and, where asked, lmms-eval's and under attack."""

import gc
import sys
from collections.abc import Collection
from typing import Any, NamedTuple

from components.evaluation.answering import answer, answer_as_champion
from components.evaluation.attacks.attacking import attack
from components.evaluation.capabilities import measure
from components.evaluation.metrics import CHAMPION
from components.evaluation.reading import read
from spavl.work import Reference


class Models(NamedTuple):
    """The model under test, and the base that reads its answers."""

    tested: Reference
    base: Reference


def examine(
    settings: dict[str, Any], name: str, models: Models, benchmarks: Reference, output: str
) -> None:
    """Writes one model's answers, and beside them those under attack and what lmms-eval measured.

    Args:
        settings: Raw `EvaluationSettings`.
        name: `base`, `dpo` or `ppo`.
        models: The model's folder and the base's.
        benchmarks: The benchmarks' folder.
        output: Output data set of answers; `readings/`, `attacks/` and `capabilities.json`
            are added to it.
    """
    answer(settings, name, models.tested, benchmarks, output)
    _free_memory()
    read(settings, name, models.base, benchmarks, output)
    _free_memory()
    attack(settings, name, models.tested, benchmarks, output)
    _free_memory()
    measure(settings, name, models.tested, output)


def examine_champion(
    settings: dict[str, Any],
    reporting: dict[str, Any],
    candidates: Collection[str],
    base: Reference,
    benchmarks: Reference,
    output: str,
) -> None:
    """Writes the reigning champion's answers, and how probable the base finds them.

    Args:
        settings: Raw `EvaluationSettings`.
        reporting: Raw `ReportingSettings`; they name the registered model.
        candidates: Digests of the models that want to succeed it.
        base: The base's folder.
        benchmarks: The benchmarks' folder.
        output: Output data set of answers.
    """
    answer_as_champion(settings, reporting, candidates, benchmarks, output)
    _free_memory()
    read(settings, CHAMPION, base, benchmarks, output)


def _free_memory() -> None:
    """Gives back what the model that has answered took of the accelerator's memory.

    lmms-eval loads the model once more, in a process of its own, to which the memory that torch
    keeps for this one is lost.
    """
    gc.collect()
    torch = sys.modules.get("torch")  # unless it was imported there is nothing to give back
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
