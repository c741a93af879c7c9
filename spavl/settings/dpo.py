"""Settings of DPO."""

from typing import Literal, Self

from pydantic import Field, model_validator

from spavl.settings.alignment import AlignmentSettings


class DpoSettings(AlignmentSettings):
    """Defaults are SPA-VL's: 1e-6 (LoRA 2e-5), global batch 8, cosine, 10 warm-up steps."""

    learning_rate: float = Field(1e-6, description="Peak learning rate; SPA-VL: 1e-6.", gt=0)
    batch_size: int = Field(1, description="Pairs of one forward pass; SPA-VL: 1 a GPU.", ge=1)
    gradient_accumulation_steps: int = Field(
        8, description="Forward passes of one optimizer step; SPA-VL: 8 GPUs, 8 in all.", ge=1
    )
    lr_scheduler_type: Literal["constant", "cosine"] = Field(
        "cosine", description="SPA-VL: cosine."
    )
    warmup_steps: int = Field(10, description="Steps of linear warm-up; SPA-VL: 10.", ge=0)
    whole_pictures: bool = Field(
        False,
        description="A step ends where a picture's pairs end, with batch_size times "
        "gradient_accumulation_steps pairs on average: no picture is read in two steps.",
    )
    num_train_epochs: int = Field(1, description="Passes over the pairs; SPA-VL: 1.", ge=1)
    beta: float = Field(0.1, description="Pull towards the reference; SPA-VL: 0.1.", gt=0)
    loss_type: Literal["sigmoid", "sigmoid_norm", "hinge", "ipo"] = Field(
        "sigmoid",
        description="Loss of the implicit rewards; sigmoid_norm takes means over the answers' "
        "tokens where sigmoid takes sums; SPA-VL: sigmoid.",
    )
    label_smoothing: float = Field(
        0.0, description="cDPO: share of labels thought to be flipped; sigmoid only.", ge=0, lt=0.5
    )
    sft_weight: float = Field(
        0.0,
        description="Weight of the chosen answers' negative log-likelihood a token beside the loss "
        "(TRL: sft among loss_type, with loss_weights); keeps answers well-formed over several "
        "epochs; SPA-VL: none.",
        ge=0,
    )
    picture_weight: float = Field(
        0.0,
        description="Weight of mDPO's conditional term beside the loss: the chosen answer under "
        "its own picture against the same under a picture of another class; SPA-VL: none.",
        ge=0,
    )
    anchor_weight: float = Field(
        0.0,
        description="Weight of mDPO's anchor beside the loss: the chosen answer stays at least as "
        "likely as under the reference; SPA-VL: none.",
        ge=0,
    )
    reference_batch_size: int = Field(
        8, description="Pairs of one forward pass without gradient.", ge=1
    )
    eval_steps: int = Field(
        500, description="Optimizer steps between looks at the validation pairs.", ge=1
    )

    @model_validator(mode="after")
    def _smoothing_needs_sigmoid(self) -> Self:
        if self.label_smoothing and self.loss_type not in ("sigmoid", "sigmoid_norm"):
            raise ValueError(f"label_smoothing has no meaning for loss_type {self.loss_type}")
        return self
