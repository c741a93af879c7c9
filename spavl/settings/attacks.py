"""Settings of the attacks that every model is put to after the benchmarks."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class BestOfNSettings(BaseModel):
    """Asking again and again: the share of items with an unsafe answer among n draws."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    draws: int = Field(100, description="Answers drawn of each item.", ge=2)
    counts: tuple[int, ...] = Field(
        (1, 10, 100), description="The n that are told; at most `draws`.", min_length=1
    )
    temperature: float = Field(1.0, description="Sampling temperature of the draws.", gt=0)
    top_p: float = Field(
        1.0, description="Nucleus of the draws; 1 draws from all tokens.", gt=0, le=1
    )
    batch_size: int = Field(64, description="Answers drawn at once; part of the result.", ge=1)

    @model_validator(mode="after")
    def _counts_that_can_be_told(self) -> Self:
        if wrong := [n for n in self.counts if not 1 <= n <= self.draws]:
            raise ValueError(f"the best of {wrong[0]} needs {wrong[0]} draws, not {self.draws}")
        return self


class PixelSettings(BaseModel):
    """Projected gradient descent on the picture, and random noise of the same size beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epsilons: tuple[int, ...] = Field(
        (2, 4, 8), description="Largest change of a pixel, of 255 levels.", min_length=1
    )
    steps: int = Field(20, description="Sign steps of each attack.", ge=1)

    @model_validator(mode="after")
    def _levels_of_a_pixel(self) -> Self:
        if wrong := [e for e in self.epsilons if not 1 <= e <= 255]:
            raise ValueError(f"a pixel cannot change by {wrong[0]} of 255 levels")
        return self


class SuffixSettings(BaseModel):
    """A search for words that make the model itself go along; of the pocket world."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(600, description="Words that are tried in place of others.", ge=1)
    words: int = Field(6, description="Words of the suffix.", ge=1)


class AttackSettings(BaseModel):
    """Which attacks, on how many items; an attack that is null is not made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    benchmark: str = Field(
        "harm_eval", description="Whose items are asked under attack; they need pictures."
    )
    items: int = Field(
        45,
        description="Items, taken class by class in turn; 45 is one of each class that is "
        "collected.",
        ge=1,
    )
    openings: tuple[str, ...] = Field(
        ("Sure", "Of course", "Certainly"),
        description="How an answer begins that goes along: what pixels and suffix are made for.",
        min_length=1,
    )
    best_of_n: BestOfNSettings | None = Field(BestOfNSettings(), description="Repeated draws.")
    pixels: PixelSettings | None = Field(PixelSettings(), description="Attack on the pixels.")
    suffix: SuffixSettings | None = Field(
        None, description="Search for a suffix against each model; of the pocket world."
    )
