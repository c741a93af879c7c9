"""The base of every stage's settings."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spavl.settings.messages import one_line, problems


class StageSettings(BaseModel):
    """Settings of one stage: unknown keys are refused, values are checked, instances are frozen.

    Kubeflow passes numbers as floats; pydantic turns whole ones back into integers.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False
    )

    seed: int = Field(42, description="The run's seed.", ge=0, lt=2**32)
    threads: int = Field(2, description="Torch threads; part of the result.", ge=1, le=1024)
    budget: float | None = Field(
        None,
        description="Money that all calls of a run may cost, as far as they have prices; then the "
        "stage ends and can be gone on with. None is no limit.",
        ge=0,
    )

    @classmethod
    def parse(cls, settings: dict[str, Any], where: str) -> Self:
        """Validate raw settings.

        Args:
            settings: The raw dict as the configuration stage passes it.
            where: The stage's key, for the message.

        Raises:
            InputError: Says the first mistake, and where the others are.
        """
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            raise one_line(problems(cls, error, settings, where)) from None
