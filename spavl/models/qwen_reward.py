"""Qwen2.5-VL as a reward model; apart from the others because its import costs seconds."""

from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLPreTrainedModel

from spavl.models.reward import ScoresEveryPosition


class Qwen2_5_VLForSequenceClassification(
    ScoresEveryPosition,
    Qwen2_5_VLPreTrainedModel,  # type: ignore[misc]
):
    """Qwen2.5-VL with a scalar head `score`, for rewards and for values."""
