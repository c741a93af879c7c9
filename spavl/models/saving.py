"""Saving models: Hugging Face layout, safetensors only, with a digest of what was saved."""

import json
from pathlib import Path
from typing import Any

from spavl.digests import folder_digest
from spavl.shards import write_json

MODEL_FILE = "model.json"


def save_model(model: Any, processor: Any, output: Path, made_by: dict[str, Any]) -> str:
    """Write a model, its processor and `model.json` into an empty or new folder.

    Args:
        model: A transformers model.
        processor: Its processor.
        output: Folder to write.
        made_by: What made the model (stage, settings, inputs); JSON.

    Returns:
        Hex sha256 over the weights, configuration and processor, also kept in `model.json`.
    """
    output.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(output)
    processor.save_pretrained(output)
    digest = folder_digest(output)
    write_json(output / MODEL_FILE, {"digest": digest, "made_by": made_by})
    return digest


def saved_digest(folder: Path | str) -> str:
    """The digest that `save_model` gave a folder."""
    return str(json.loads((Path(folder) / MODEL_FILE).read_text())["digest"])
