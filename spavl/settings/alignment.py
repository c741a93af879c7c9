"""What the three trainers' settings share."""

from typing import Literal

from pydantic import Field

from spavl.settings.common import StageSettings


class AlignmentSettings(StageSettings):
    """Optimiser, schedule, batches and precision; names as in TRL.

    Each trainer's defaults are SPA-VL's for full training of LLaVA-1.5 on one GPU: the paper's
    global batch is reached by accumulation instead of by eight GPUs.
    """

    learning_rate: float = Field(description="Peak learning rate of AdamW.", gt=0)
    weight_decay: float = Field(0.0, description="AdamW's weight decay; SPA-VL: 0.", ge=0)
    batch_size: int = Field(description="Rows or pairs of one forward pass.", ge=1)
    gradient_accumulation_steps: int = Field(
        description="Forward passes of one optimizer step.", ge=1
    )
    lr_scheduler_type: Literal["constant", "cosine"] = Field(
        description="Learning rate after warm-up: held, or down to 0 along a half cosine."
    )
    warmup_steps: int = Field(0, description="Optimizer steps of linear warm-up.", ge=0)
    warmup_ratio: float = Field(
        0.0, description="Share of all steps; used where warmup_steps is 0.", ge=0, le=1
    )
    max_grad_norm: float = Field(1.0, description="Gradients are clipped to this norm.", gt=0)
    max_length: int = Field(
        2048, description="Most tokens of a row, picture included; longer rows are dropped.", ge=8
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        "bfloat16", description="Data type of the weights; SPA-VL: bf16."
    )
    device: str = Field("auto", description="auto, cpu or a torch device.")
    gradient_checkpointing: bool = Field(
        True, description="Recompute activations in the backward pass: less memory, more time."
    )
    save_steps: int = Field(200, description="Steps between checkpoints.", ge=1)
    picture_cache_mib: float = Field(
        4096.0, description="Memory for the frozen vision tower's features, in MiB.", gt=0
    )
