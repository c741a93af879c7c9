"""Settings of the reward model's training."""

from typing import Literal, Self

from pydantic import Field, model_validator

from spavl.settings.alignment import AlignmentSettings


class RewardModelingSettings(AlignmentSettings):
    """Defaults are SPA-VL's: 3e-5 (LoRA 3e-5), global batch 32, constant, 3% warm-up, 1 epoch."""

    learning_rate: float = Field(3e-5, description="Peak learning rate; SPA-VL: 3e-5.", gt=0)
    batch_size: int = Field(4, description="Pairs of one forward pass; SPA-VL: 4 a GPU.", ge=1)
    gradient_accumulation_steps: int = Field(
        8, description="Forward passes of one optimizer step; SPA-VL: 8 GPUs, 32 in all.", ge=1
    )
    lr_scheduler_type: Literal["constant", "cosine"] = Field(
        "constant", description="SPA-VL: constant after warm-up."
    )
    warmup_ratio: float = Field(0.03, description="Share of all steps; SPA-VL: 3%.", ge=0, le=1)
    whole_pictures: bool = Field(
        False,
        description="A step ends where a picture's pairs end, with batch_size times "
        "gradient_accumulation_steps pairs on average: no picture is read in two steps.",
    )
    num_train_epochs: int = Field(1, description="Passes over the pairs; SPA-VL: 1.", ge=1)
    margin: float = Field(
        0.0,
        description="Reward difference asked of pairs whose moderation verdicts differ; "
        "SPA-VL: none.",
        ge=0,
    )
    ranking: Literal["pairwise", "listwise"] = Field(
        "pairwise",
        description="listwise: preferences of a question that chain into three or more ranked "
        "answers are learned as one list (Plackett-Luce); SPA-VL: pairwise.",
    )
    eval_steps: int = Field(
        200, description="Optimizer steps between looks at the validation pairs.", ge=1
    )

    @model_validator(mode="after")
    def _margin_needs_pairs(self) -> Self:
        if self.margin and self.ranking == "listwise":
            raise ValueError("margin has no meaning for ranking listwise")
        return self
