"""The families of vision-language models that can be trained here, each a file of its own."""

import re
from typing import Any

import torch

from spavl.errors import InputError
from spavl.models.family import Family

LANGUAGE = re.compile(r"(^|\.)(language_model|text_model)\.")  # in names of its layers
SUPPORTED = ("llava", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "internvl", "smolvlm")


def language_model(model: Any) -> Any:
    """The language model, without head, of a policy or reward model."""
    backbone = model.model
    return backbone.text_model if hasattr(backbone, "text_model") else backbone.language_model


def family_of(model: Any) -> Family:
    """The family of a policy, a reward model or a backbone.

    Raises:
        InputError: If the family is not supported.
    """
    match model.config.model_type:
        case "llava":
            from spavl.models.llava import Llava

            return Llava()
        case "qwen2_5_vl":
            from spavl.models.qwen import Qwen

            return Qwen()
        case "qwen3_vl":
            from spavl.models.qwen3 import Qwen3

            return Qwen3()
        case "llava_onevision":
            from spavl.models.llava_onevision import LlavaOnevision

            return LlavaOnevision()
        case "internvl":
            from spavl.models.internvl import InternVL

            return InternVL()
        case "smolvlm":
            from spavl.models.smolvlm import SmolVLM

            return SmolVLM()
        case other:
            raise InputError(
                f"the family {other!r} is not supported",
                "training",
                f"use a model of {' or '.join(SUPPORTED)}",
            )


def frozen_tower(model: Any) -> dict[str, torch.nn.Parameter]:
    """The weights of a policy's or reward model's tower, by name; nothing here trains them."""
    return family_of(model).tower(model.model)
