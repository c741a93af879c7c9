"""What a trainer leaves: the model's folder with its figures and curves beside the weights."""

import shutil
from collections.abc import Mapping
from typing import Any

from spavl.models.saving import save_model
from spavl.shards import write_json
from spavl.work import Work

MODEL_FOLDER = "model"


def save_trained(work: Work, model: Any, processor: Any, metrics: Mapping[str, Any]) -> str:
    """Write `model/` in the work folder: weights, processor, model.json, figures and curves.

    Returns:
        The model's digest; figures and curves do not enter it.
    """
    folder = work.folder / MODEL_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    made_by = {**work.stage.made_by, "inputs": dict(work.stage.inputs)}
    digest = save_model(model, processor, folder, made_by)
    write_json(folder / "metrics.json", dict(metrics))
    shutil.copyfile(work.folder / "curves.jsonl", folder / "curves.jsonl")
    return digest
