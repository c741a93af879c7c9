"""Plans of ablations: variants, axes, seeds, and hypotheses written down before the run."""

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spavl.errors import InputError
from spavl.records import QuestionKind
from spavl.settings.as_written import checked, read_yaml
from spavl.settings.messages import one_line, problems, unknown_key

Name = str
NAME = r"^[a-z0-9][a-z0-9-]{0,40}$"
BASE = "base"
"""The variant that is not trained at all."""
DIRECTIONS = ("lower", "higher", "alike")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Responders(_Part):
    """Responders that both answers of a pair must be of; exactly one of these is given."""

    named: tuple[str, ...] | None = Field(None, description="These.", min_length=1)
    safest: int | None = Field(None, description="The k with most safe answers.", ge=1)
    least_safe: int | None = Field(None, description="The k with fewest safe answers.", ge=1)
    drawn: int | None = Field(None, description="k of all, drawn by the seed.", ge=1)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(value is not None for value in self.model_dump().values()) != 1:
            raise ValueError("give one of named, safest, least_safe and drawn")
        return self


class Rows(_Part):
    """Which preferences a variant trains on."""

    pairs: int | None = Field(None, description="How many; all that are left by default.", ge=1)
    kinds: tuple[QuestionKind, ...] | None = Field(
        None, description="Kinds of question, in equal parts; all as they come by default.",
        min_length=1,
    )  # fmt: skip
    contrasts: int | None = Field(
        None,
        description="How many of them have a safe chosen and an unsafe rejected answer; as they "
        "come by default.",
        ge=0,
    )
    responders: Responders | None = Field(None, description="Whose answers; all by default.")
    classes: int | None = Field(
        None,
        description="About how many classes of harm, drawn by the seed; all by default. Rows about "
        "pictures of no class stay.",
        ge=1,
    )
    labels: Literal["honest", "turned"] = Field(
        "honest", description="turned: chosen and rejected change places, as a control."
    )
    draw: str = Field("", description="Another word draws other rows, as a control.")

    @model_validator(mode="after")
    def _contrasts_are_of_pairs(self) -> Self:
        if self.contrasts is not None and self.contrasts > (self.pairs or 0):
            raise ValueError("contrasts are a part of pairs: give pairs, as many or more")
        return self


class Variant(_Part):
    """What is trained: rows, a method, and changes of the profile's settings."""

    rows: Rows = Field(Rows(), description="Preferences to train on.")
    method: Literal["dpo", "ppo", "base"] = Field("dpo", description="base trains nothing.")
    dpo: dict[str, Any] = Field({}, description="Settings of DPO that differ.")
    ppo: dict[str, Any] = Field({}, description="Settings of PPO that differ.")
    reward_modeling: dict[str, Any] = Field({}, description="Settings of PPO's reward model.")
    base_model: dict[str, Any] = Field({}, description="Settings of another backbone.")


class Axis(_Part):
    """A curve: variants in order."""

    by: str = Field(description="What differs, for people.", min_length=1)
    x: Literal["pairs", "name"] = Field("name", description="pairs: the number trained on.")
    variants: tuple[Name, ...] = Field(description="In order.", min_length=1)


class Comparison(_Part):
    """One figure of two variants: `lower`, `higher` or `alike`, `than` another."""

    figure: str = Field(description="A key of figures.json.")
    lower: Name | None = None
    higher: Name | None = None
    alike: Name | None = None
    than: Name
    within: float = Field(0.05, description="What counts as alike, at most.", gt=0, lt=1)

    @model_validator(mode="after")
    def _one_direction(self) -> Self:
        if sum(getattr(self, name) is not None for name in DIRECTIONS) != 1:
            raise ValueError("give one of lower, higher and alike")
        return self

    @property
    def direction(self) -> str:
        """`lower`, `higher` or `alike`."""
        return next(name for name in DIRECTIONS if getattr(self, name) is not None)

    @property
    def variant(self) -> Name:
        """What is compared."""
        return str(getattr(self, self.direction))


class Hypothesis(_Part):
    """What is expected, in words and as comparisons that must all hold."""

    id: str = Field(description="Its name.", pattern=NAME)
    axis: Name
    says: str = Field(description="In words.", min_length=1)
    compare: tuple[Comparison, ...] = Field(description="All must hold.", min_length=1)


class Plan(_Part):
    """A whole plan."""

    description: str = ""
    settings: tuple[str, ...] = Field((), description="Overrides of the profile, key=value each.")
    seeds: tuple[int, ...] = Field(description="Each draws rows and trains anew.", min_length=1)
    tasks: int = Field(2, description="Tasks that the points are dealt over.", ge=1)
    variants: dict[Name, Variant]
    axes: dict[Name, Axis]
    hypotheses: tuple[Hypothesis, ...] = ()

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        known = {*self.variants, BASE}
        named = [(f"axes.{key}", name) for key, axis in self.axes.items() for name in axis.variants]
        for hypothesis in self.hypotheses:
            if hypothesis.axis not in self.axes:
                raise ValueError(f"{hypothesis.id}: no axis {hypothesis.axis}")
            own = {*self.axes[hypothesis.axis].variants, BASE}
            sides = [n for each in hypothesis.compare for n in (each.variant, each.than)]
            if strange := sorted(set(sides) - own):
                raise ValueError(f"{hypothesis.id}: {strange[0]} is not on {hypothesis.axis}")
        for where, name in named:
            if name not in known:
                raise ValueError(f"{where}: no variant {name}")
        if BASE in self.variants or len(set(self.seeds)) < len(self.seeds):
            raise ValueError("base is a variant of its own, and seeds differ from each other")
        return self

    def variant(self, name: Name) -> Variant:
        """The variant of a name; `base` is always there."""
        return Variant(method="base") if name == BASE else self.variants[name]

    def only(self, axes: Iterable[Name]) -> "Plan":
        """The plan with some of its axes, and what belongs to them; all where none is named.

        Raises:
            InputError: If an axis is not in the plan.
        """
        chosen = list(axes) or list(self.axes)
        for axis in chosen:
            if axis not in self.axes:
                raise unknown_key("axis", axis, self.axes)
        kept = {name: self.axes[name] for name in chosen}
        used = {name for axis in kept.values() for name in axis.variants}
        return self.model_copy(
            update={
                "axes": kept,
                "variants": {name: v for name, v in self.variants.items() if name in used},
                "hypotheses": tuple(h for h in self.hypotheses if h.axis in kept),
            }
        )


def plan_names() -> list[str]:
    """Names of the plans that ship with the project."""
    folder = resources.files("components.ablation") / "plans"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir())


def plan_text(plan: str) -> str:
    """A plan's YAML: of a shipped plan's name, of a file's path, or the text itself.

    Raises:
        InputError: If there is no such plan, or the file cannot be read.
    """
    if "\n" in plan:
        return plan
    if plan in plan_names():
        file = resources.files("components.ablation") / "plans" / f"{plan}.yaml"
        return file.read_text(encoding="utf-8")
    if "/" not in plan and not plan.endswith((".yaml", ".yml")):
        raise unknown_key("plan", plan, plan_names())
    try:
        return Path(plan).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "not a text in UTF-8"
        raise InputError(
            f"unreadable plan: {said}", plan, f"give a YAML file, or one of {plan_names()}"
        ) from None


def read_plan(plan: str, axes: Iterable[Name] = ()) -> Plan:
    """A plan, checked.

    Args:
        plan: A name, the path of a YAML file, or YAML.
        axes: Axes to keep; all where none is named.

    Raises:
        InputError: Names what is wrong.
    """
    text = plan_text(plan)
    where = "plan" if "\n" in plan else plan
    try:
        raw = read_yaml(text)
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise InputError(f"not YAML: {said}", where, "correct the file") from None
    try:
        plan_ = checked(Plan, raw)
    except ValidationError as error:
        given: Mapping[str, Any] = raw if isinstance(raw, dict) else {}
        raise one_line(problems(Plan, error, given, "plan")) from None
    return plan_.only(axes)
