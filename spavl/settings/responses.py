"""Settings of responses."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from spavl.chat.settings import ChatSettings, SamplingSettings, TransformersSettings
from spavl.settings.common import StageSettings


class ResponderSettings(BaseModel):
    """One responder: a model, what it is told beforehand, and how its answers are drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name in all records.")
    chat: ChatSettings = Field(
        default=TransformersSettings(backend="transformers"),
        description="The model; the run's base model unless another is named.",
    )
    persona: str | None = Field(
        default=None, description="Pocket persona whose system prompt is used."
    )
    system: str | None = Field(default=None, description="System prompt as text.")
    sampling: SamplingSettings = Field(
        default=SamplingSettings(), description="How answers are drawn."
    )

    @model_validator(mode="after")
    def _one_system_prompt(self) -> Self:
        if self.persona is not None and self.system is not None:
            raise ValueError("give persona or system, not both")
        return self


class ResponsesSettings(StageSettings):
    """Who answers the questions."""

    responders: tuple[ResponderSettings, ...] = Field(
        min_length=2, description="The responders; pairs need at least two."
    )
    keep_refusals: bool = Field(
        default=False,
        description="Whether what an endpoint refuses for its content becomes an empty answer "
        "flagged `refused_by_endpoint`, which labelling counts, or is set aside.",
    )
    tasks: int = Field(default=2, ge=1, description="Tasks that the responders are dealt over.")
    block_size: int = Field(
        default=1024, ge=1, description="Questions worked on at a time; bounds memory."
    )

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        ids = [responder.id for responder in self.responders]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"responder {twice[0]!r} is defined twice")
        return self
