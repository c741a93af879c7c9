"""Settings of the evaluation room."""

import re
import shlex
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from spavl.chat.settings import ChatSettings, SamplingSettings
from spavl.settings.attacks import AttackSettings
from spavl.settings.common import StageSettings
from spavl.settings.judges import ModeratorSettings

Suite = Literal["pocket", "published", "held_out"]
"""Where items come from; figures of different suites never mix."""
BenchmarkSplit = Literal["test", "validation"]


class BenchmarkSettings(BaseModel):
    """Sizes of the pocket benchmarks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: BenchmarkSplit = Field(
        "test",
        description="Pictures and question templates: those that settings are chosen on, or those "
        "that are looked at afterwards.",
    )
    harm_per_class: int = Field(
        20, description="HarmEval items per harmful class that the collection holds.", ge=0
    )
    harm_suffix_per_class: int = Field(
        0, description="Of them, so many are asked with the adversarial suffix as well.", ge=0
    )
    harm_decodings_per_class: int = Field(
        0,
        description="Of them, so many are asked greedily and from all tokens as well.",
        ge=0,
    )
    unseen_per_class: int = Field(
        30, description="Items per harmful class that no collection holds.", ge=0
    )
    help_per_thing: int = Field(
        28, description="Items of HelpEval and over-refusal per harmless thing.", ge=0
    )
    guards_per_class: int = Field(
        5, description="The same per harmful class: requests that guard against it.", ge=0
    )
    naming_per_thing: int = Field(8, description="Naming items per thing.", ge=0)
    photographs: int = Field(
        20, description="Pictures of unknown truth that are asked about (plumbing only).", ge=0
    )


class PublishedSettings(BaseModel):
    """The published benchmarks that lie on this machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str = Field(
        description="Folder or s3:// address that holds as many as there are of `advbench/`, "
        "`xstest/`, `mm-safetybench/`, `figstep/`, `mossbench/`, `spa-vl/` and "
        "`anthropic-helpful/`; in a cluster other files want another name.",
        min_length=1,
    )
    subset: Literal["tiny", "full"] = Field(
        "tiny", description="MM-SafetyBench's and FigStep's Tiny lists, as SPA-VL, or all."
    )
    suffix_file: str | None = Field(
        None,
        description="Text file with the suffix of AdvBench's suffix attack, in place of "
        "`advbench/suffix.txt`; where neither is there, that column has n = 0.",
    )
    most: int | None = Field(
        None, description="Items of each column at most, for trial runs; none is all.", ge=1
    )


class LmmsEvalSettings(BaseModel):
    """General ability, measured by lmms-eval; needs the extra `lmms-eval` or its command."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    tasks: tuple[str, ...] = Field(
        description="Tasks or groups by lmms-eval's names, e.g. `[pope, mme]`; each is measured by "
        "itself, so one that fails leaves the others.",
        min_length=1,
    )
    limit: int | None = Field(
        None, description="Samples of each task at most, for trial runs; none is all.", ge=1
    )
    command: str | None = Field(
        None,
        description="How lmms-eval is called where it lives in an environment of its own, e.g. "
        "`/opt/lmms/bin/python -m lmms_eval`; none is this Python's.",
    )
    model: str | None = Field(
        None, description="lmms-eval's model class; none takes the one of the backbone."
    )
    model_args: str = Field(
        "", description="Further arguments of that class, e.g. `attn_implementation=sdpa`."
    )
    device: str | None = Field(
        None, description="Torch device; none is the first accelerator, else the CPU."
    )
    batch_size: int = Field(1, description="Batch size; some model classes take only 1.", ge=1)
    include_path: str | None = Field(
        None,
        description="Folder of further task files (YAML); in a cluster other files want another "
        "name.",
    )
    timeout_seconds: float = Field(
        21600.0, description="Time that one task of one model may take.", gt=0
    )
    attempt: int = Field(
        1, description="Counted up, all is measured again: what failed is kept as failed.", ge=1
    )

    @field_validator("tasks")
    @classmethod
    def _tasks_by_name(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [task for task in tasks if not re.fullmatch(r"[\w.-]+", task)]:
            raise ValueError(f"{wrong[0]!r} is no name of a task")
        if len(set(tasks)) < len(tasks):
            raise ValueError("a task is named twice")
        return tasks

    @field_validator("command")
    @classmethod
    def _command_as_a_shell_reads_it(cls, command: str | None) -> str | None:
        if command is not None and not shlex.split(command):
            raise ValueError("it names no program")
        return command


class AnsweringSettings(BaseModel):
    """How the models under test answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(64, description="Items per forward pass; part of the result.", ge=1)
    max_new_tokens: int = Field(48, description="Token limit of an answer.", ge=1)
    expected_tokens: float | None = Field(
        None,
        description="Tokens of an answer as `spavl plan` expects it; none is what is usual. No "
        "answer depends on it.",
        ge=0,
    )
    temperature: float = Field(
        1.0,
        description="Sampling temperature of HarmEval, the data set's too, over-refusal and "
        "HelpEval; all else is greedy.",
        ge=0,
    )
    top_p: float = Field(
        0.95,
        description="Nucleus of those samplings: tokens beyond this share of probability, the tail "
        "that no training reaches, are never drawn. 1 draws from all.",
        gt=0,
        le=1,
    )


class JudgeSettings(BaseModel):
    """A judge of benchmark answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(description="Its name.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    kind: Literal["rules", "refusals", "moderation", "chat", "rubric"] = Field(
        description="The rule judge; the list of refusal phrases alone; a moderation model; a "
        "model asked by template; or one that grades harm from 0 to 1 by a rubric."
    )
    moderator: ModeratorSettings | None = Field(
        None, description="The model of a `moderation` judge."
    )
    chat: ChatSettings | None = Field(None, description="The model of a `chat` or `rubric` judge.")
    sampling: SamplingSettings = Field(
        SamplingSettings(max_new_tokens=256),
        description="How such a judge speaks; one that thinks first needs room for it.",
    )

    @model_validator(mode="after")
    def _a_model_where_one_judges(self) -> Self:
        needs = {"chat": "chat", "rubric": "chat", "moderation": "moderator"}.get(self.kind)
        for key in ("chat", "moderator"):
            if (needs == key) != (getattr(self, key) is not None):
                verb = "needs" if needs == key else "takes no"
                raise ValueError(f"a {self.kind} judge {verb} {key}")
        return self


class ScoringSettings(BaseModel):
    """How intervals are made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    confidence: float = Field(0.95, description="Coverage of the intervals.", gt=0.5, lt=1)


class EvaluationSettings(StageSettings):
    """Settings of benchmarks, answering and scoring."""

    suites: tuple[Suite, ...] = Field(
        ("pocket", "held_out"),
        description="What is asked: `pocket`, the pocket world's items, of pocket bases only; "
        "`held_out`, the data set's own test items, where it has some; `published`, the "
        "benchmarks of `published.folder`, which are also asked wherever a folder is named.",
        min_length=1,
    )
    benchmarks: BenchmarkSettings = Field(
        BenchmarkSettings(), description="Sizes of the pocket suite."
    )
    published: PublishedSettings | None = Field(
        None, description="The published suite; none by default."
    )
    blind_items: int = Field(
        100,
        description="Items of each benchmark with pictures that are asked once more with a blank "
        "picture and once with another item's, for `visual_dependence`; 0 asks none.",
        ge=0,
    )
    lmms_eval: LmmsEvalSettings | None = Field(
        None, description="Core capabilities by lmms-eval's tasks; not measured by default."
    )
    answering: AnsweringSettings = Field(AnsweringSettings(), description="Generation.")
    attacks: AttackSettings | None = Field(
        None, description="Attacks on every model; none by default."
    )
    judges: tuple[JudgeSettings, ...] = Field(
        (JudgeSettings(id="rules", kind="rules"), JudgeSettings(id="refusals", kind="refusals")),
        description="Who judges: the first makes the figures, the others are compared with it.",
        min_length=1,
    )
    scoring: ScoringSettings = Field(ScoringSettings(), description="Intervals.")

    @property
    def asked(self) -> frozenset[Suite]:
        """The suites that are asked; naming a folder of published benchmarks asks them."""
        named: tuple[Suite, ...] = ("published",) if self.published else ()
        return frozenset((*self.suites, *named))
