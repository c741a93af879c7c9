"""Settings of collection."""

from pydantic import Field

from spavl.settings.common import StageSettings


class CollectionSettings(StageSettings):
    """Which pictures are collected, and how photographs are read."""

    pocket_pictures: int = Field(
        default=6,
        ge=0,
        description="Pocket pictures of each harmful class; 0 leaves the pocket world out.",
    )
    pocket_harmless_ratio: float = Field(
        default=1.0,
        ge=0,
        description="Harmless pocket pictures per harmful one. Answers about harmless pictures tie "
        "more often, so more of them are needed for as many preferences.",
    )
    max_side: int = Field(
        default=672, ge=16, description="Longer side of a stored photograph at most, pixels."
    )
    min_side: int = Field(
        default=8, ge=1, description="Shorter side of a usable photograph at least, pixels."
    )
    max_pixels: int = Field(
        default=100_000_000, ge=1, description="Pixels of a photograph at most, before decoding."
    )
    max_bytes: int = Field(
        default=64 * 2**20, ge=1, description="Size of a photograph's file at most, bytes."
    )
    max_decode_seconds: float = Field(
        default=20.0, gt=0, description="Seconds that decoding one photograph may take."
    )
