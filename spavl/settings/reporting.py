"""Settings of the report and of publishing a champion."""

from pydantic import Field

from spavl.settings.common import StageSettings


class ReportingSettings(StageSettings):
    """What the report shows, and what a published champion is called."""

    title: str = Field("SPA-VL run", description="Heading of the report.", min_length=1)
    case_studies: int = Field(
        48, description="Evaluation items shown with picture and all models' answers.", ge=0, le=200
    )
    picture_pixels: int = Field(
        224, description="Longest side of a picture in report and gallery, pixels.", ge=16, le=1024
    )
    answer_characters: int = Field(
        12_000, description="An answer longer than this is cut in the report.", ge=40
    )
    gallery_rows: int = Field(
        100_000,
        description="Rows of a collection in the gallery beside the report; 0 leaves it out.",
        ge=0,
    )
    model_name: str = Field(
        "spa-vl-champion",
        description="Name of a published model in its card and in the registry.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
    )
    license: str = Field("apache-2.0", description="License named in the model card.", min_length=1)
