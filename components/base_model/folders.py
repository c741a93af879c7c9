"""What a model's folder must hold before anything of it is loaded."""

import json
from pathlib import Path
from typing import Any

from spavl.errors import InputError

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
"""Endings of weight files that can run code when they are loaded."""

FAMILIES = ("llava", "qwen2_5_vl")
"""Values of `model_type` whose training this project knows."""


def check_model_folder(folder: Path) -> None:
    """Checks that a folder is a whole model in Hugging Face layout, with safe weights.

    Raises:
        InputError: It is missing, incomplete, or holds pickled files or code of its own.
    """
    if not folder.is_dir():
        raise InputError("no such folder", str(folder), "name the folder of a model")
    config = _read_json(folder / "config.json")
    if "auto_map" in config:
        raise InputError(
            "the model brings code of its own (auto_map)",
            str(folder / "config.json"),
            "give a model of a family that transformers knows",
        )
    if config.get("model_type") not in FAMILIES:
        raise InputError(
            f"a model of the family {config.get('model_type')!r}",
            str(folder),
            f"give one of {', '.join(FAMILIES)}",
        )
    if config.get("quantization_config"):
        raise InputError(
            "quantized weights, which cannot be trained",
            str(folder / "config.json"),
            "give the model in full precision",
        )
    if not any(folder.glob("*.safetensors")):  # beside them a trainer's leftovers are never read
        for path in sorted(folder.iterdir()):
            if path.suffix in PICKLES:
                raise InputError(
                    "pickled weights can run code", str(path), "convert them to safetensors"
                )
    _check_weights(folder)


def _check_weights(folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    wanted = _files_of(index) if index.is_file() else {"model.safetensors"}
    for name in sorted(wanted):
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise InputError("weights are missing", str(path), "complete the model's folder")
        _check_header(path)


def _files_of(index: Path) -> set[str]:
    """The files that a model's index names."""
    places = _read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise InputError("no model's index: it places no weight", str(index), "fetch it again")
    files = set(map(str, places.values()))
    if not all(isinstance(name, str) and name for name in places.values()):
        raise InputError("no model's index: a file is no name", str(index), "fetch it again")
    return files


def _check_header(path: Path) -> None:
    """A cut download is told now, not an hour later: the header says how long the file is."""
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > size:
                raise ValueError("the file ends within its header")
            header = json.loads(stream.read(length))
        end = max(e["data_offsets"][1] for name, e in header.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"not safetensors: {error}", str(path), "fetch the file again") from None
    if 8 + length + end != size:
        raise InputError(
            f"{size} bytes instead of {8 + length + end}", str(path), "fetch the file again"
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (path.parent / "adapter_config.json").is_file():
            raise InputError(
                "an adapter, and no model", str(path.parent), "merge it into its base first"
            ) from None
        raise InputError(
            "no model here", str(path), "give a folder in Hugging Face layout (config.json, ...)"
        ) from None
    except (ValueError, RecursionError, OSError) as error:
        raise InputError(f"not JSON: {error}", str(path), "fetch the file again") from None
    if not isinstance(content, dict):
        raise InputError("not a JSON object", str(path), "fetch the file again")
    return content
