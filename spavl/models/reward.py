"""Reward models: a vision-language backbone and one linear head on the last answer token.

The head has no bias (SPA-VL's reward model). The backbone and the processor are those of the base
model, so one folder holds all of it and one call reloads it.
"""

from functools import lru_cache
from importlib import import_module
from typing import Any

import torch
from torch.nn.functional import linear
from transformers.modeling_layers import GenericForSequenceClassification
from transformers.models.llava.modeling_llava import LlavaPreTrainedModel

from spavl.errors import InputError
from spavl.models.families import SUPPORTED

HEAD = "score.weight"
# Weights' names in saved Qwen2.5-VL models to those in memory; the library knows this renaming for
# its own classes only.
QWEN_NAMES = {
    r"^visual": "model.visual",
    r"^model(?!\.(language_model|visual))": "model.language_model",
}


class ScoresEveryPosition(GenericForSequenceClassification):  # type: ignore[misc]
    """A scalar head `score` on a backbone, for rewards and for values."""

    def forward(self, **inputs: Any) -> torch.Tensor:
        """Score every position.

        The library's own forward looks for the last token that is not padding by its id, which
        goes wrong where padding and end of sequence share one; callers pick positions instead.

        Args:
            inputs: What the backbone takes: `input_ids` and `attention_mask` `[batch, length]`,
                pictures.

        Returns:
            float32 tensor `[batch, length]`, whatever the backbone computes in.
        """
        hidden = self.model(**inputs).last_hidden_state  # [batch, length, width]
        # Scores are compared: in bfloat16 two of about 10 would differ by 0.06 or not at all.
        scores = linear(hidden.float(), self.score.weight.float())
        return scores.squeeze(-1)


class LlavaForSequenceClassification(
    ScoresEveryPosition,
    LlavaPreTrainedModel,  # type: ignore[misc]  # transformers is not typed for us
):
    """LLaVA as a reward model."""


def reward_model_class(model_type: str, where: str) -> type[Any]:
    """The reward model's class of a model family.

    Args:
        model_type: `model_type` of the model's configuration.
        where: The model's place, for the error.

    Raises:
        InputError: If the family is not supported.
    """
    match model_type:
        case "llava":
            return LlavaForSequenceClassification
        case "qwen2_5_vl" | "qwen3_vl" | "llava_onevision" | "internvl" | "smolvlm":
            return _made(model_type)
        case _:
            raise InputError(
                f"no reward model for the family {model_type!r}",
                where,
                f"use a model of {' or '.join(SUPPORTED)}",
            )


@lru_cache
def _made(model_type: str) -> type[Any]:
    """A family's reward model on the library's own beginnings of its models."""
    modeling = import_module(f"transformers.models.{model_type}.modeling_{model_type}")
    beginnings = [
        (name, found)
        for name, found in vars(modeling).items()
        if name.endswith("PreTrainedModel") and name != "PreTrainedModel" and "Vision" not in name
        if found.__module__ == modeling.__name__
    ]
    name, beginning = beginnings[0]
    return type(
        name.replace("PreTrainedModel", "ForSequenceClassification"),
        (ScoresEveryPosition, beginning),
        {"__doc__": "A vision-language model with a scalar head `score`."},
    )


def saved_names(model_type: str) -> dict[str, str] | None:
    """Patterns of names in saved weights that a family's reward model knows by other names."""
    return QWEN_NAMES if model_type == "qwen2_5_vl" else None
