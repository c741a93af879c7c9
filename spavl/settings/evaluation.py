"""Settings of the evaluation room."""

from pydantic import BaseModel, ConfigDict, Field

from spavl.settings.common import StageSettings


class BenchmarkSettings(BaseModel):
    """Sizes of the pocket benchmarks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    harm_per_class: int = Field(20, description="HarmEval items per harmful class.", ge=1)
    help_per_thing: int = Field(28, description="HelpEval items per harmless thing.", ge=1)
    naming_per_thing: int = Field(8, description="Naming items per thing.", ge=1)
    photographs: int = Field(
        20, description="Pictures of unknown truth that are asked about (plumbing only).", ge=0
    )


class AnsweringSettings(BaseModel):
    """How the models under test answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(64, description="Items per forward pass; part of the result.", ge=1)
    max_new_tokens: int = Field(48, description="Token limit of an answer.", ge=1)
    temperature: float = Field(
        1.0,
        description="Sampling temperature of HarmEval and over-refusal; 1 is the model's own "
        "distribution. HelpEval and naming are greedy.",
        ge=0,
    )


class ScoringSettings(BaseModel):
    """How intervals are made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    confidence: float = Field(0.95, description="Coverage of the intervals.", gt=0.5, lt=1)
    resamples: int = Field(2000, description="Bootstrap resamples.", ge=100)


class EvaluationSettings(StageSettings):
    """Settings of benchmarks, answering and scoring."""

    benchmarks: BenchmarkSettings = Field(BenchmarkSettings(), description="Benchmark sizes.")
    answering: AnsweringSettings = Field(AnsweringSettings(), description="Generation.")
    scoring: ScoringSettings = Field(ScoringSettings(), description="Intervals.")
