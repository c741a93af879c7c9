"""What a run's models need of their settings and of this machine: known before any work."""

import json
import os
import shutil
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spavl.errors import InputError
from spavl.settings.alignment import require_deepspeed

TRAINERS = ("reward_modeling", "dpo", "ppo")
POCKET_PICTURE_TOKENS = 16
TEXT_TOKENS = 16
"""No question of any data set, in its chat template, is shorter than that."""


def check_models(stages: Mapping[str, Mapping[str, Any]], model: Path | None, runner: str) -> None:
    """Check lengths, adapters, devices, engines and personas.

    Args:
        stages: Settings of the stages that will be done, by name.
        model: Folder of the user's own base; None for the pocket world's.
        runner: What tasks are; containers have engines and devices of their own.

    Raises:
        InputError: Names the first setting that cannot work.
    """
    for stage in TRAINERS:
        check_lengths(stage, stages[stage], picture_tokens(model))
        check_adapters(stage, stages[stage], model)
        if runner == "subprocess":
            check_device(stage, stages[stage])
    if runner == "subprocess":
        for where, settings in chat_models(stages):
            check_engine(where, settings)
    check_personas(stages.get("responses", {}))


def check_scale(stage: str, settings: Mapping[str, Any], runner: str) -> None:
    """Check what can be known of a trainer's processes before it starts.

    Args:
        stage: The trainer's name.
        settings: Its settings.
        runner: What tasks are; containers have libraries of their own.

    Raises:
        InputError: If several nodes are wanted here, or a DeepSpeed that is not installed.
    """
    if settings.get("num_nodes", 1) > 1:
        raise InputError(
            "several nodes train in a TrainJob, and this is no pod of a cluster",
            f"{stage}.num_nodes",
            "submit the run to Kubeflow Pipelines, or set num_nodes to 1",
        )
    if settings.get("zero_stage") and runner == "subprocess":
        require_deepspeed(settings["zero_stage"], stage)


def check_lengths(stage: str, settings: Mapping[str, Any], picture_tokens: int) -> None:
    """Check that a picture, a question and an answer fit.

    Raises:
        InputError: If they do not, so that every row would be dropped.
    """
    answer = settings.get("response_length", 1)
    least = picture_tokens + TEXT_TOKENS + answer
    if settings["max_length"] < least:
        raise InputError(
            f"no room for a row: {settings['max_length']} tokens in all, a picture alone takes "
            f"{picture_tokens}",
            f"{stage}.max_length",
            f"set it to {least} or more",
        )


def check_adapters(stage: str, settings: Mapping[str, Any], model: Path | None) -> None:
    """Check that the layers that get LoRA are the model's.

    Raises:
        InputError: Names the first one that the model does not have.
    """
    if not settings.get("use_peft"):
        return
    names = set(_layers(model)) if model else _pocket_layers()
    for wanted in settings["lora_target_modules"]:
        if names and wanted not in names:
            told = ", ".join(sorted(name for name in names if name.endswith("_proj"))[:8])
            raise InputError(
                f"no layer {wanted} in this model",
                f"{stage}.lora_target_modules",
                f"name some of {told}" if told else "name layers of the language model",
            )


def check_device(stage: str, settings: Mapping[str, Any]) -> None:
    """Check that there are as many GPUs as are asked for.

    Raises:
        InputError: If there are not.
    """
    kind, _, number = str(settings.get("device", "auto")).partition(":")
    if kind != "cuda":
        return
    import torch

    wanted = max(int(number or 0) + 1, settings.get("num_processes", 1))
    if torch.cuda.device_count() < wanted:
        raise InputError(
            f"{torch.cuda.device_count()} GPUs here, {wanted} wanted",
            f"{stage}.device",
            "set it to auto or cpu, or lower num_processes",
        )


def check_engine(where: str, settings: Mapping[str, Any]) -> None:
    """Check that what serves a model is installed.

    Raises:
        InputError: If it is not.
    """
    if settings.get("backend") == "vllm" and shutil.which("vllm") is None:
        raise InputError(
            "no vllm here", f"{where}.backend", "install vllm, or name an openai endpoint"
        )


def check_personas(responses: Mapping[str, Any]) -> None:
    """Check that the pocket world has the personas that responders play.

    Raises:
        InputError: Names the first one that it has not.
    """
    from spavl.pocket.texts import cast

    known = [persona.id for persona in cast().personas]
    for responder in responses.get("responders", ()):
        persona = responder.get("persona")
        if persona is not None and persona not in known:
            raise InputError(
                f"no persona {persona}",
                f"responses.responders.{responder['id']}.persona",
                f"name one of {', '.join(known)}, or give a system prompt",
            )


def chat_models(tree: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every model that is talked to, and the key that it stands at; list items by their id."""
    if isinstance(tree, list | tuple):
        tree = {
            str(one.get("id", place)) if isinstance(one, Mapping) else str(place): one
            for place, one in enumerate(tree)
        }
    if not isinstance(tree, Mapping):
        return
    if "backend" in tree:
        yield path, tree
    for name, below in tree.items():
        yield from chat_models(below, f"{path}.{name}".lstrip("."))


def picture_tokens(model: Path | None) -> int:
    """Tokens of a picture, as far as a model's configuration says it; 0 where it does not."""
    if model is None:
        return POCKET_PICTURE_TOKENS
    config = json.loads((model / "config.json").read_text())
    vision = config.get("vision_config", {})
    if config.get("image_seq_length"):
        return int(config["image_seq_length"])
    if config.get("model_type") == "llava" and {"image_size", "patch_size"} <= vision.keys():
        return int(vision["image_size"] // vision["patch_size"]) ** 2
    return 0


def _pocket_layers() -> set[str]:
    from spavl.settings.alignment import AlignmentSettings

    return set(AlignmentSettings.model_fields["lora_target_modules"].default)


def _layers(model: Path) -> Iterator[str]:
    """Names of a model's layers, from the headers of its safetensors."""
    for file in sorted(model.glob("*.safetensors")):
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > os.path.getsize(file):
                continue
            for name in json.loads(stream.read(length)):
                yield from name.split(".")
