"""Reward models: a vision-language backbone and one linear head on the last answer token.

The head has no bias (SPA-VL's reward model). The backbone and the processor are those of the base
model, so one folder holds all of it and one call reloads it.
"""

from typing import Any

import torch
from transformers.modeling_layers import GenericForSequenceClassification
from transformers.models.llava.modeling_llava import LlavaPreTrainedModel

from spavl.errors import InputError

HEAD = "score.weight"


class LlavaForSequenceClassification(  # transformers is not typed for us
    GenericForSequenceClassification,  # type: ignore[misc]
    LlavaPreTrainedModel,  # type: ignore[misc]
):
    """LLaVA with a scalar head `score`, for rewards and for values."""

    def forward(self, **inputs: Any) -> torch.Tensor:
        """Score every position.

        The library's own forward looks for the last token that is not padding by its id, which
        goes wrong where padding and end of sequence share one; callers pick positions instead.

        Args:
            inputs: What the backbone takes: `input_ids` and `attention_mask` `[batch, length]`,
                pictures.

        Returns:
            float tensor `[batch, length]`.
        """
        hidden = self.model(**inputs).last_hidden_state  # [batch, length, width]
        scores: torch.Tensor = self.score(hidden).squeeze(-1).float()
        return scores


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
        case _:
            raise InputError(
                f"no reward model for the family {model_type!r}", where, "use a LLaVA model"
            )
