"""Examining: one model answers our benchmarks and, where asked, lmms-eval's and under attack."""

import gc
import sys
from typing import Any

from components.evaluation.answering import answer
from components.evaluation.attacks.attacking import attack
from components.evaluation.capabilities import measure
from spavl.work import Reference


def examine(
    settings: dict[str, Any], name: str, model: Reference, benchmarks: Reference, output: str
) -> None:
    """Writes one model's answers, and beside them those under attack and what lmms-eval measured.

    Args:
        settings: Raw `EvaluationSettings`.
        name: `base`, `dpo` or `ppo`.
        model: The model's folder.
        benchmarks: The benchmarks' folder.
        output: Output data set of answers; `attacks/` and `capabilities.json` are added to it.
    """
    answer(settings, name, model, benchmarks, output)
    _free_memory()
    attack(settings, name, model, benchmarks, output)
    _free_memory()
    measure(settings, name, model, output)


def _free_memory() -> None:
    """Gives back what the model that has answered took of the accelerator's memory.

    lmms-eval loads the model once more, in a process of its own, to which the memory that torch
    keeps for this one is lost.
    """
    gc.collect()
    torch = sys.modules.get("torch")  # unless it was imported there is nothing to give back
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
