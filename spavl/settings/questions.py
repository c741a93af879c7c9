"""Settings of question writing."""

from pydantic import Field

from spavl.chat.settings import (
    ChatSettings,
    PocketTemplatesSettings,
    SamplingSettings,
    TransformersSettings,
)
from spavl.settings.common import StageSettings


class QuestionsSettings(StageSettings):
    """Who captions pictures, who writes questions, and what counts as one."""

    captioner: ChatSettings = Field(
        default=TransformersSettings(backend="transformers"),
        description="The model that says what a picture shows.",
    )
    caption_sampling: SamplingSettings = Field(
        default=SamplingSettings(), description="How captions are drawn."
    )
    caption_prompt: str = Field(
        default="caption.v1", description="Name and version of the captioning prompt."
    )
    fallback_caption: str = Field(
        default="a picture", description="Stands in where the model gives no caption."
    )
    writer: ChatSettings = Field(
        default=PocketTemplatesSettings(backend="pocket_templates"),
        description="The model that writes the questions.",
    )
    writing_sampling: SamplingSettings = Field(
        default=SamplingSettings(max_new_tokens=96, temperature=0.7, top_p=0.95),
        description="How questions are drawn.",
    )
    writing_version: str = Field(
        default="v1", pattern=r"^v\d+$", description="Version of the three writing prompts."
    )
    show_picture: bool = Field(
        default=True, description="Whether the writer sees the picture besides its caption."
    )
    attempts: int = Field(
        default=3, ge=1, description="Attempts at a question before it is set aside."
    )
    max_characters: int = Field(
        default=300, ge=16, description="Length of a question at most, characters."
    )
    block_size: int = Field(
        default=512, ge=1, description="Pictures worked on at a time; bounds memory."
    )
