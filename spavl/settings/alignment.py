"""What the three trainers' settings share."""

from importlib.util import find_spec
from typing import Literal, Self

from pydantic import Field, model_validator

from spavl.errors import InputError
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
        description="Forward passes of one optimizer step, over all processes.", ge=1
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
    overlong: Literal["drop", "error"] = Field(
        "drop", description="drop: rows over max_length are left out and counted; error: refused."
    )
    train_projector: bool = Field(
        True, description="Train what stands between vision tower and language model; SPA-VL: yes."
    )
    use_peft: bool = Field(
        False, description="Train LoRA adapters (and the projector) on a frozen base."
    )
    lora_r: int = Field(256, description="Rank of LoRA's matrices; SPA-VL: 256.", ge=1)
    lora_alpha: int = Field(512, description="LoRA's scale times its rank; SPA-VL: 512.", ge=1)
    lora_dropout: float = Field(
        0.0,
        description="Dropout before LoRA's matrices, the only dropout there is: the model's own "
        "stays off; SPA-VL: 0.",
        ge=0,
        lt=1,
    )
    lora_target_modules: tuple[str, ...] = Field(
        ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        description="Linear layers of the language model that get LoRA; SPA-VL's.",
        min_length=1,
    )
    num_processes: int = Field(
        1, description="Processes (one a GPU) of one node; more than 1 share each step.", ge=1
    )
    num_nodes: int = Field(
        1, description="Nodes; more than 1 train in a TrainJob of Kubeflow Trainer.", ge=1
    )
    zero_stage: Literal[0, 2, 3] = Field(
        0, description="DeepSpeed's ZeRO stage; 0: no DeepSpeed, gradients are averaged."
    )
    offload: bool = Field(
        False, description="ZeRO keeps optimizer (and with stage 3 weights) in the CPU's memory."
    )
    packing: Literal["auto", "plain"] = Field(
        "auto",
        description="auto: rows that begin alike are computed once where the model can; plain: "
        "one padded row each.",
    )
    packed_tokens: int = Field(
        4096,
        description="Most tokens of one packed forward pass, in place of batch_size; in PPO, whose "
        "passes are counted in rows, of one packed row.",
        ge=64,
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        "bfloat16", description="Data type of the weights; SPA-VL: bf16."
    )
    device: str = Field(
        "auto",
        description="auto, cpu, mps, cuda or one of its GPUs, e.g. cuda:1.",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
    )
    gradient_checkpointing: bool = Field(
        True, description="Recompute activations in the backward pass: less memory, more time."
    )
    save_steps: int = Field(200, description="Steps between checkpoints.", ge=1)
    save_total_limit: int = Field(2, description="Newest checkpoints that are kept.", ge=1)
    picture_cache_mib: float = Field(
        4096.0, description="Memory for the frozen vision tower's features, in MiB.", gt=0
    )

    @model_validator(mode="after")
    def _offload_needs_zero(self) -> Self:
        if self.offload and not self.zero_stage:
            raise ValueError("offload needs zero_stage 2 or 3")
        return self


def require_deepspeed(zero_stage: int, stage: str) -> None:
    """Check that DeepSpeed is installed, without importing it.

    Args:
        zero_stage: Why it is wanted.
        stage: The trainer's name, for the error.

    Raises:
        InputError: If it is not.
    """
    if find_spec("deepspeed") is None:
        raise InputError(
            f"zero_stage is {zero_stage}, and DeepSpeed is not installed",
            f"{stage}.zero_stage",
            "install the extra 'trainer', or set zero_stage to 0",
        )
