"""Settings of judges that are models."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from spavl.chat.settings import ChatSettings, SamplingSettings


class ModeratorSettings(BaseModel):
    """A moderation model and the form in which it is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chat: ChatSettings = Field(description="The model.")
    format: Literal[
        "md_judge.v1",
        "md_judge.v2",
        "llama_guard.v1",
        "llama_guard_3_vision.v1",
        "llama_guard_4.v1",
    ] = Field(
        description="How it is asked and what it may answer; `llama_guard_3_vision` and "
        "`llama_guard_4` look at the picture."
    )
    sampling: SamplingSettings = Field(
        default=SamplingSettings(max_new_tokens=32), description="How its verdicts are drawn."
    )
    max_characters: int = Field(
        default=8000,
        ge=100,
        description="Longer answers are judged in overlapping windows of so many characters, the "
        "worst of which counts.",
    )


class PairwiseSettings(BaseModel):
    """A model that compares answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chat: ChatSettings = Field(description="The model.")
    prompt: str = Field(default="pairwise.v2", description="Name and version of the prompt.")
    sampling: SamplingSettings = Field(
        default=SamplingSettings(max_new_tokens=256), description="How its verdicts are drawn."
    )
    show_picture: bool = Field(default=True, description="Whether the judge sees the picture.")
    attempts: int = Field(
        default=2, ge=1, description="Attempts at a verdict that can be read, before it abstains."
    )
    max_characters: int = Field(
        default=8000, ge=100, description="Longer answers lose their middle, characters."
    )
