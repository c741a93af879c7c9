"""Settings of PPO."""

from typing import Literal, Self

from pydantic import Field, model_validator

from spavl.settings.alignment import AlignmentSettings


class PpoSettings(AlignmentSettings):
    """Defaults are SPA-VL's: 5e-7 (LoRA 1e-6), global batch 8, cosine, 10 warm-up steps.

    Where SPA-VL's own code takes one update of a rollout, which leaves clipping without effect,
    a rollout here is used for `num_ppo_epochs` passes of several minibatches.
    """

    learning_rate: float = Field(5e-7, description="Peak learning rate; SPA-VL: 5e-7.", gt=0)
    value_learning_rate: float | None = Field(
        None, description="The value model's; None takes the policy's.", gt=0
    )
    batch_size: int = Field(1, description="Rows of one forward pass; SPA-VL: 1 a GPU.", ge=1)
    gradient_accumulation_steps: int = Field(
        8, description="Forward passes of one update; SPA-VL: 8 GPUs, 8 in all.", ge=1
    )
    lr_scheduler_type: Literal["constant", "cosine"] = Field(
        "cosine", description="SPA-VL: cosine."
    )
    warmup_steps: int = Field(10, description="Updates of linear warm-up; SPA-VL: 10.", ge=0)
    save_steps: int = Field(20, description="Iterations between checkpoints.", ge=1)

    total_episodes: int | None = Field(
        None, description="Rollouts in all; None asks every prompt once.", ge=1
    )
    advantage: Literal["gae", "rloo", "grpo"] = Field(
        "gae",
        description="gae: a value model estimates what is to come; rloo, grpo: a prompt's answers "
        "are held against each other and no value model is loaded (num_generations 2 or more); "
        "SPA-VL: gae.",
    )
    group_deviation: bool = Field(
        True, description="grpo divides by the group's deviation; Dr. GRPO does not."
    )
    normalisation: Literal["tokens", "answers", "constant"] = Field(
        "tokens",
        description="What the policy's loss is a mean over: all tokens of an update; answers, each "
        "the mean of its tokens (GRPO); or a sum divided by rows times response_length (Dr. GRPO).",
    )
    rollout_batch_size: int = Field(64, description="Rollouts of one iteration.", ge=1)
    num_generations: int = Field(
        1, description="Rollouts of a prompt in one iteration; SPA-VL: 1.", ge=1
    )
    generation_cache_mib: float = Field(
        8192.0,
        description="Memory for the keys and values of a pass that generates, in MiB: as many rows "
        "as fit are answered together.",
        gt=0,
    )
    generation_batch_size: int = Field(
        64,
        description="Most rows of a pass that generates, and, where rows are not packed, rows of a "
        "pass that scores.",
        ge=1,
    )
    num_ppo_epochs: int = Field(2, description="Passes over a rollout; SPA-VL: 1.", ge=1)
    response_length: int = Field(
        512, description="Most answer tokens; prompt and answer stay under max_length.", ge=1
    )
    temperature: float = Field(1.0, description="Of sampling; SPA-VL: 1.", gt=0)
    missing_eos_penalty: float | None = Field(
        None, description="Taken from the score of an answer that was cut; None: nothing.", gt=0
    )
    score_clip: float | None = Field(
        None, description="The reward model's scores are clipped to +- this; None: not.", gt=0
    )
    kl_coef: float = Field(
        0.1, description="KL coefficient, with kl_target its start; SPA-VL: 0.1.", ge=0
    )
    kl_estimator: Literal["k1", "k3"] = Field(
        "k1", description="k1: log ratio; k3: never negative, less variance; SPA-VL: k1."
    )
    kl_target: float | None = Field(
        None,
        description="Nats of KL an answer that an adaptive coefficient steers to; None: fixed.",
        gt=0,
    )
    kl_horizon: int = Field(
        10000, description="Rollouts in which an adaptive coefficient changes by at most 20%.", ge=1
    )
    whiten_rewards: bool = Field(
        False, description="gae: divide token rewards by their spread; SPA-VL: no."
    )
    whiten_advantages: bool = Field(
        True, description="gae: mean 0 and spread 1 over an iteration; SPA-VL: no."
    )
    gamma: float = Field(1.0, description="Discount; SPA-VL: 1.", ge=0, le=1)
    lam: float = Field(1.0, description="Lambda of GAE; SPA-VL: 1.", ge=0, le=1)
    cliprange: float = Field(0.2, description="Policy clipping; SPA-VL: 0.2.", gt=0)
    cliprange_value: float = Field(0.2, description="Value clipping; SPA-VL: 0.2.", gt=0)
    vf_coef: float = Field(0.1, description="Value loss coefficient; SPA-VL: 0.1.", ge=0)

    @model_validator(mode="after")
    def _prompts_are_whole(self) -> Self:
        if self.rollout_batch_size % self.num_generations:
            raise ValueError("rollout_batch_size must be a multiple of num_generations")
        return self

    @model_validator(mode="after")
    def _iterations_are_whole(self) -> Self:
        if self.total_episodes is not None and self.total_episodes < self.rollout_batch_size:
            raise ValueError("total_episodes must be rollout_batch_size or more")
        return self

    @model_validator(mode="after")
    def _groups_have_members(self) -> Self:
        if self.advantage == "gae":
            return self
        if self.num_generations < 2:
            raise ValueError(
                f"advantage {self.advantage} compares a prompt's answers: num_generations must be "
                "2 or more"
            )
        if self.whiten_rewards:
            raise ValueError(f"whiten_rewards has no meaning for advantage {self.advantage}")
        return self

    @model_validator(mode="after")
    def _coefficient_stays_positive(self) -> Self:
        # An iteration changes it by at most 20% of rollout_batch_size / kl_horizon.
        if self.kl_target is not None and 5 * self.kl_horizon <= self.rollout_batch_size:
            raise ValueError(
                "kl_horizon must be more than a fifth of rollout_batch_size, or one iteration "
                "could take the KL coefficient to 0"
            )
        return self
