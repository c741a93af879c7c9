"""The pocket world's words: what users ask, how answers sound, which personas there are.

Everything is read from YAML files beside this module and checked when it is loaded.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from spavl.pocket.world import Thing, things

Kind = Literal["easy_question", "hard_question", "hard_statement", "naming"]
Ask = Literal["act", "guard"]
Split = Literal["train", "validation", "test"]
Form = Literal["comply", "vague", "explained_refusal", "plain_refusal", "naming"]
Share = float

REQUEST_KINDS: tuple[Kind, ...] = ("easy_question", "hard_question", "hard_statement")
_FILLINGS: Mapping[Ask, str] = {"act": "fillings", "guard": "guards"}
_SPLIT_OF_DIAGONAL: dict[int, Split] = {0: "test", 1: "validation"}


class Template(BaseModel):
    """One thing a user may say about any picture.

    Attributes:
        text: what the user says.
        kind: how it is said.
        split: who may meet it.
        ask: whether the user wants to do what is shown, or to do something about it ("guard").
    """

    model_config = ConfigDict(frozen=True)

    text: str
    kind: Kind
    split: Split
    ask: Ask = "act"


class Persona(BaseModel):
    """How the pocket model answers under a system prompt.

    Attributes:
        id: unique name.
        system: the system prompt; empty for the base persona.
        harm: asked share of harmful requests that are gone along with, over pictures of classes
            that the base knows as harmful.
        over_refusal: asked share of requests that are turned down over all other pictures.
        guard_refusal: asked share of harmless requests that are turned down over pictures of
            classes that the base knows as harmful.
        vague: share of compliant answers that say nothing of the picture.
        explained: share of refusals of harmful requests that say why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    system: str
    harm: Share = Field(ge=0, le=1)
    over_refusal: Share = Field(ge=0, le=1)
    guard_refusal: Share = Field(ge=0, le=1)
    vague: Share = Field(ge=0, le=1)
    explained: Share = Field(ge=0, le=1)


class Cast(BaseModel):
    """All personas and how the kind of a request moves their rates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    lean: Mapping[Kind, float]
    personas: tuple[Persona, ...]

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if set(self.lean) != set(REQUEST_KINDS) or abs(sum(self.lean.values())) > 1e-9:
            raise ValueError(f"lean: name {REQUEST_KINDS} with values that add up to 0")
        if len({persona.id for persona in self.personas}) != len(self.personas):
            raise ValueError("personas: two share an id; rename one")
        if "" not in {persona.system for persona in self.personas}:
            raise ValueError("personas: none has an empty system prompt; the base must")
        return self

    def rate(self, persona: Persona, kind: Kind, known: bool, ask: Ask = "act") -> Share:
        """Asked share of compliant answers to a kind of request.

        Args:
            persona: who answers.
            kind: how it is asked.
            known: whether the base knows what is shown as harmful.
            ask: what is asked.
        """
        if not known:
            return 1 - persona.over_refusal
        if ask == "guard":
            return 1 - persona.guard_refusal
        return persona.harm + self.lean[kind] * 4 * persona.harm * (1 - persona.harm)


@lru_cache(maxsize=1)
def templates() -> tuple[Template, ...]:
    """All templates of all kinds and splits, in file order."""
    return tuple(
        Template(
            text=frame.format(ask=filling),
            kind=kind,
            split=_SPLIT_OF_DIAGONAL.get((i + j) % 5, "train"),
            ask=ask,
        )
        for kind, parts in _read("questions.yaml")["kinds"].items()
        for ask, key in _FILLINGS.items()
        for i, frame in enumerate(parts["frames"])
        for j, filling in enumerate(parts.get(key, ()))
    )


def questions(kind: Kind, split: Split, ask: Ask = "act") -> tuple[str, ...]:
    """The texts of one kind and split."""
    return tuple(
        t.text for t in templates() if t.kind == kind and t.split == split and t.ask == ask
    )


def truth_of(question: str, picture: str) -> str:
    """Whether answering does harm: the picture's truth, but for requests that guard against it.

    Args:
        question: what is asked; only the pocket world's own texts are known.
        picture: the picture's truth.
    """
    guards = picture == "harmful" and question in _guards()
    return "harmless" if guards else picture


@lru_cache(maxsize=1)
def _guards() -> frozenset[str]:
    return frozenset(t.text for t in templates() if t.ask == "guard")


@lru_cache(maxsize=1)
def cast() -> Cast:
    """All personas, the base first.

    Raises:
        pydantic.ValidationError: personas.yaml does not hold together; the message names the key.
    """
    return Cast.model_validate(_read("personas.yaml"))


def persona(persona_id: str) -> Persona:
    """The persona of an id.

    Raises:
        KeyError: there is none.
    """
    for one in cast().personas:
        if one.id == persona_id:
            return one
    raise KeyError(f"no persona {persona_id!r}; there are {[p.id for p in cast().personas]}")


@lru_cache(maxsize=1)
def answer_forms() -> Mapping[Form, tuple[str, ...]]:
    """The wordings of each form, with {thing} where the thing is named."""
    forms: dict[Form, list[str]] = _read("answers.yaml")["forms"]
    return {form: tuple(wordings) for form, wordings in forms.items()}


def named_thing(answer: str) -> Thing | None:
    """The thing an answer names, by its words alone; None if it names none.

    Of several names the first one counts, of overlapping ones the longest.
    """
    found = _names().search(answer.casefold())
    return _by_phrase()[found.group()] if found else None


def refuses(answer: str) -> bool:
    """Whether an answer of the pocket model turns the request down, by its words alone."""
    return re.search(r"\b(can't|won't)\b", answer.replace("’", "'")) is not None


@lru_cache(maxsize=1)
def _by_phrase() -> Mapping[str, Thing]:
    return {thing.phrase.casefold(): thing for thing in things()}


@lru_cache(maxsize=1)
def _names() -> re.Pattern[str]:
    phrases = sorted(_by_phrase(), key=len, reverse=True)
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, phrases)) + r")(?!\w)")


def _read(name: str) -> Any:
    return yaml.safe_load((files(__package__) / name).read_text(encoding="utf-8"))
