"""Settings of the base model."""

from typing import Literal

from pydantic import Field

from spavl.settings.common import StageSettings
from spavl.settings.pocket_base import PocketBaseSettings


class BaseModelSettings(StageSettings):
    """Which model is aligned."""

    source: Literal["pocket", "path"] = Field(
        default="pocket",
        description="pocket: train the pocket world's LLaVA, once; path: take a model's folder.",
    )
    path: str | None = Field(
        default=None,
        description="Folder in Hugging Face layout (config.json, safetensors); for source path.",
    )
    pocket: PocketBaseSettings = Field(
        default=PocketBaseSettings.parse({}, "base_model.pocket"),
        description="The pocket base's training; its seed and threads are this stage's.",
    )
