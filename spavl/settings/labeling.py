"""Settings of the labeling room."""

from pydantic import BaseModel, ConfigDict, Field, model_validator

from spavl.settings.common import StageSettings
from spavl.settings.judges import ModeratorSettings, PairwiseSettings


class PairingSettings(BaseModel):
    """How answers are grouped and drawn into pairs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    groups: int = Field(5, description="Safety groups of responders (the paper: five).", ge=2)
    pairs_per_question: int = Field(
        1, description="Pairs drawn for a question at most, no answer twice; SPA-VL: 1.", ge=1
    )
    block_questions: int = Field(
        4096,
        description="Questions over which responders are used evenly, in order of their ids; "
        "blocks are drawn each for itself and bound memory.",
        ge=1,
    )
    dropped_flags: tuple[str, ...] = Field(
        ("empty", "looping"),
        description="Answers with one of these flags are never drawn: as `chosen` they would "
        "teach silence or loops.",
    )


class SplittingSettings(BaseModel):
    """Shares of pictures per split; what is left is the training split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    validation: float = Field(0.1, description="Share of pictures for validation.", ge=0, lt=1)
    test: float = Field(0.1, description="Share of pictures for testing.", ge=0, lt=1)
    test_per_class: int = Field(
        0,
        description="Test items of each class for harm, and as many for help, each of a picture "
        "of its own; above 0 they take the place of the share `test`. SPA-VL: 5.",
        ge=0,
    )
    drop_safe_rejected: bool = Field(
        False,
        description="Set preferences aside whose rejected answer is safe already, but for those "
        "about harmless pictures, where every answer is; otherwise they stay, marked by "
        "`rejected_safe`.",
    )

    @model_validator(mode="after")
    def _leaves_training_rows(self) -> "SplittingSettings":
        if self.validation + self.test >= 1:
            raise ValueError("validation + test must leave a share for training, below 1")
        return self


class LabelingSettings(StageSettings):
    """Settings of pairing, judging and splitting."""

    moderator: ModeratorSettings | None = Field(
        None, description="A model that marks answers safe or unsafe; none is the rule."
    )
    judge: PairwiseSettings | None = Field(
        None, description="A model that compares two answers; none is the rule."
    )
    judge_noise: float = Field(
        0.0,
        description="Share of the rule's comparisons that are turned round, by a digest of their "
        "texts; 1 turns all labels. A model errs by itself and takes none.",
        ge=0,
        le=1,
    )
    judge_block: int = Field(
        256, description="Pairs judged at a time; bounds memory and calls under way.", ge=1
    )
    pairing: PairingSettings = Field(PairingSettings(), description="Groups and pairs.")
    splitting: SplittingSettings = Field(SplittingSettings(), description="Splits by picture.")

    @model_validator(mode="after")
    def _noise_for_the_rule(self) -> "LabelingSettings":
        if self.judge and self.judge_noise:
            raise ValueError("judge_noise is for the rule: leave judge out, or set it to 0")
        return self
