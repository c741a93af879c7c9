"""What a trainer leaves: the model's folder with its figures and curves beside the weights."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spavl.alignment import processes
from spavl.alignment.spread_weights import whole_weights
from spavl.models.adapters import ADAPTER_FOLDER, AdaptedModel
from spavl.models.saving import save_model
from spavl.shards import write_json
from spavl.work import Work

MODEL_FOLDER = "model"


@dataclass(frozen=True)
class Trained:
    """What a training made.

    Attributes:
        model: The model.
        processor: Its processor.
        adapters: The model's adapters; None where its own weights were trained.
        adapter: Name of the trained one.
    """

    model: Any
    processor: Any
    adapters: AdaptedModel | None = None
    adapter: str = ""


def save_trained(work: Work, trained: Trained, metrics: Mapping[str, Any]) -> str:
    """Write `model/` in the work folder: weights, processor, model.json, figures and curves.

    An adapter is kept in `model/adapter/` and added to the weights beside it, so that one call
    loads the model whether it was trained whole or not.

    Returns:
        The model's digest, which figures and curves do not enter; empty in processes other than
        the leader, who writes.
    """
    with whole_weights(trained.model):
        return _save(work, trained, metrics) if processes.is_leader() else ""


def _save(work: Work, trained: Trained, metrics: Mapping[str, Any]) -> str:
    folder = work.folder / MODEL_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    model = trained.model
    if trained.adapters is not None:
        trained.adapters.save(trained.adapter, folder / ADAPTER_FOLDER)
        model = trained.adapters.merge(trained.adapter)
    made_by = {**work.stage.made_by, "inputs": dict(work.stage.inputs)}
    digest = save_model(model, trained.processor, folder, made_by)
    write_json(folder / "metrics.json", dict(metrics))
    shutil.copyfile(work.folder / "curves.jsonl", folder / "curves.jsonl")
    return digest
