"""The harm taxonomy: 6 domains, 15 categories, 53 classes, read from `taxonomy.yaml`.

The list is data. Another list of the same form is loaded by `load_taxonomy(path)`; what is wrong in
it is named by its key. Published rows carry their own spellings (typos included), so `find` knows
those as well as the clean names.
"""

from collections.abc import Iterator
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

KEYWORDS = 6
"""Search phrases of a class, as in the paper."""

Origin = Literal["published", "filled"]


class TaxonomyError(ValueError):
    """A taxonomy file that cannot be used; the message names the key and what to do."""


class HarmClass(BaseModel):
    """One class of harm, with the category and the domain it lies in.

    Attributes:
        name: clean name, unique; what this project writes.
        category: clean name of the category (class2).
        domain: clean name of the domain (class1).
        published: spelling of the source that `origin` names.
        published_path: published spelling of domain, category and class.
        origin: "published" (SPA-VL's own folder name) or "filled" (from SALAD-Bench).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    category: str
    domain: str
    published: str
    published_path: tuple[str, str, str]
    origin: Origin


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    name: str = Field(min_length=1)
    published: str = Field(min_length=1)


class _Leaf(_Entry):
    origin: Origin
    aliases: tuple[str, ...] = ()


class _Category(_Entry):
    classes: tuple[_Leaf, ...] = Field(min_length=1)


class _Domain(_Entry):
    categories: tuple[_Category, ...] = Field(min_length=1)


class Taxonomy(BaseModel):
    """A validated taxonomy: `classes` in file order, `find` by any known spelling."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1)
    domains: tuple[_Domain, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _spellings_are_unambiguous(self) -> Self:
        owners: dict[str, tuple[str, str]] = {}
        for where, _, _, leaf in self._leaves():
            for spelling in {_key(text) for text in (leaf.name, leaf.published, *leaf.aliases)}:
                place, name = owners.setdefault(spelling, (where, leaf.name))
                if place != where:
                    raise ValueError(
                        f"{where}: {leaf.name!r} can be read as {name!r} of {place}; "
                        "rename one of them or drop the alias"
                    )
        return self

    @cached_property
    def classes(self) -> tuple[HarmClass, ...]:
        """All classes, in the order of the file."""
        return tuple(
            HarmClass(
                name=leaf.name,
                category=category.name,
                domain=domain.name,
                published=leaf.published,
                published_path=(domain.published, category.published, leaf.published),
                origin=leaf.origin,
            )
            for _, category, domain, leaf in self._leaves()
        )

    def find(self, text: str) -> HarmClass | None:
        """The class that a text names, or None.

        Clean names, published spellings and aliases are known; case, spaces, dashes and other
        signs do not matter. Of a published path `class1/class2/class3` the last part is read.
        """
        whole = self._by_spelling.get(_key(text))
        return whole or self._by_spelling.get(_key(text.rsplit("/", 1)[-1]))

    @cached_property
    def _by_spelling(self) -> dict[str, HarmClass]:
        return {
            _key(text): harm
            for harm, (*_, leaf) in zip(self.classes, self._leaves(), strict=True)
            for text in (leaf.name, leaf.published, *leaf.aliases)
        }

    def _leaves(self) -> Iterator[tuple[str, _Category, _Domain, _Leaf]]:
        for d, domain in enumerate(self.domains):
            for c, category in enumerate(domain.categories):
                for i, leaf in enumerate(category.classes):
                    where = f"domains.{d}.categories.{c}.classes.{i}"
                    yield where, category, domain, leaf


def load_taxonomy(path: Path | None = None) -> Taxonomy:
    """Reads and checks a taxonomy file; the project's own without a path.

    Raises:
        TaxonomyError: the file is not YAML, misses or misspells a key, or names two classes alike.
    """
    source: Traversable = path or files(__name__) / "taxonomy.yaml"
    try:
        return Taxonomy.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise TaxonomyError(f"{source}: not YAML: {error}; mend the line named above") from error
    except ValidationError as error:
        raise TaxonomyError(f"{source}: {_explain(error)}") from error


def load_keywords(path: Path | None = None) -> dict[str, tuple[str, ...]]:
    """Six search phrases for each class of the project's taxonomy, from `keywords.yaml`.

    Raises:
        TaxonomyError: A class is missing or unknown, has not six phrases, or shares one.
    """
    source: Traversable = path or files(__name__) / "keywords.yaml"
    try:
        found = TypeAdapter(dict[str, tuple[str, ...]]).validate_python(
            yaml.safe_load(source.read_text(encoding="utf-8"))
        )
    except yaml.YAMLError as error:
        raise TaxonomyError(f"{source}: not YAML: {error}; mend the line named above") from error
    except ValidationError as error:
        raise TaxonomyError(f"{source}: {error}; give phrases by class") from error
    names = {harm.name for harm in load_taxonomy().classes}
    if wrong := sorted(names ^ found.keys()):
        raise TaxonomyError(f"{source}: {wrong[0]!r} is missing, or no class of ours")
    phrases = [phrase.casefold() for every in found.values() for phrase in every]
    twice = {phrase for phrase in phrases if phrases.count(phrase) > 1}
    for name, every in found.items():
        if len(every) != KEYWORDS or any(phrase.casefold() in twice for phrase in every):
            raise TaxonomyError(f"{source}: {name!r} wants {KEYWORDS} phrases of its own")
    return found


def _explain(error: ValidationError) -> str:
    problems = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "top level"
        problems.append(f"{key}: {problem['msg']} (found {str(problem['input'])[:60]!r})")
    return "; ".join(problems) + "; correct these keys, see spavl/taxonomy/taxonomy.yaml"


def _key(text: str) -> str:
    """Spelling without case, spaces, dashes and other signs."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())
