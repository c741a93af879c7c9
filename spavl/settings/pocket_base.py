"""Settings of the pocket base's training."""

from pydantic import Field

from spavl.settings.common import StageSettings


class PocketBaseSettings(StageSettings):
    """Sizes and lengths of the pocket base's training; the defaults take some three minutes."""

    tower_width: int = Field(128, description="Hidden size of the vision tower.", ge=8)
    tower_layers: int = Field(2, description="Layers of the vision tower.", ge=1)
    tower_pictures: int = Field(24_000, description="Pictures drawn for the tower.", ge=72)
    tower_steps: int = Field(800, description="Steps of the tower's training.", ge=1)
    tower_batch: int = Field(128, description="Pictures a step.", ge=1)
    tower_lr: float = Field(3e-3, description="Peak learning rate of the tower.", gt=0)
    text_width: int = Field(128, description="Hidden size of the language model.", ge=8)
    text_layers: int = Field(3, description="Layers of the language model.", ge=1)
    heads: int = Field(4, description="Attention heads, in both parts.", ge=1)
    rows: int = Field(20_000, description="Conversations in the corpus.", ge=100)
    row_pictures: int = Field(18_000, description="Pictures the conversations are about.", ge=72)
    text_batch: int = Field(24, description="Conversations a step.", ge=1)
    text_lr: float = Field(3e-3, description="Peak learning rate of the language model.", gt=0)
    weight_decay: float = Field(0.05, description="Weight decay of both trainings.", ge=0)
