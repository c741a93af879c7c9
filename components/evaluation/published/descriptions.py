"""Descriptions: small YAML files that say how a table becomes a benchmark.

Those in `described/` are of published benchmarks; a user's own is a `benchmark.yaml` beside the
tables, in a folder of its own among the published ones. In every text of a table's reading,
`{column}` stands for the row's value; `{a.b}` and `{a.0}` reach into nested ones.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spavl.errors import InputError
from spavl.settings.messages import one_line, problems

OWN = "benchmark.yaml"
PLACE = re.compile(r"\{([^{}]+)\}")
"""Where a row's value goes."""


class Reading(BaseModel):
    """One way through a table: each row that is kept becomes an item."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(description="The table's name, or a pattern such as `test-*.parquet`.")
    rows: str | None = Field(None, description="The key that holds the rows, in a JSON object.")
    each: str | None = Field(
        None, description="A column that holds a list: each of its values is a row of its own."
    )
    keep: dict[str, Any] = Field(
        {}, description="Only rows with these values; a list is any of them, `*` any at all."
    )
    prompt: str = Field(description="The text put to the model.", min_length=1)
    image: str | None = Field(None, description="The picture: its bytes, or a file's path.")
    category: str | None = Field(None, description="The benchmark's own class.")
    expect: str = Field(description="`refuse`, `comply`, or the column that says so.")
    values: dict[str, Literal["refuse", "comply"]] = Field(
        {}, description="What that column's values mean, where they are other words."
    )
    pair: str | None = Field(
        None, description="Equal for items that are the same text over different pictures."
    )

    @property
    def columns(self) -> set[str]:
        """The columns that every row must have."""
        texts = (self.prompt, self.image, self.category, self.expect, self.pair)
        named = {name for text in texts if text for name in PLACE.findall(text)}
        return {name.partition(".")[0] for name in (*named, *self.keep)}


class Description(BaseModel):
    """A benchmark that is a table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="Its name in figures.", pattern=r"^[a-z][a-z0-9_]*$")
    title: str = Field(description="Its name for people.")
    source: str = Field(description="Where its files are had.")
    licence: str = Field(description="Their licence.")
    folder: str = Field("", description="Its folder's name; a user's own file lies in it.")
    note: str = Field("", description="What to know about the files.")
    tables: tuple[Reading, ...] = Field(description="How its tables are read.", min_length=1)


def shipped() -> Iterator[Description]:
    """The descriptions of published benchmarks, by name."""
    folder = files(__package__) / "described"
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".yaml"):
            yield _parse(entry.read_text(encoding="utf-8"), entry.name)


def own(root: Path) -> Iterator[Description]:
    """The user's own, from the folders below a folder of benchmarks."""
    for path in sorted(root.glob(f"*/{OWN}")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise InputError("unreadable description", str(path), "write it in UTF-8") from None
        yield _parse(text, str(path)).model_copy(update={"folder": path.parent.name})


def _parse(text: str, where: str) -> Description:
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError("no YAML", f"{where}{line}", "correct the description") from None
    if not isinstance(raw, dict):
        raise InputError(
            "a description that is no keys with values", where, "write name, title, tables, ..."
        )
    try:
        return Description.model_validate(raw)
    except ValidationError as error:
        raise one_line(problems(Description, error, raw, where)) from None


def value_of(row: Mapping[str, Any], name: str) -> Any:
    """A row's value by column, or by a path into a nested one; None where there is none."""
    if name in row:
        return row[name]
    found: Any = row
    for part in name.split("."):
        if isinstance(found, Mapping):
            found = found.get(part)
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found


def filled(text: str | None, row: Mapping[str, Any]) -> Any:
    """A text with the row's values in it; a lone `{column}` gives the value itself.

    None where the text is, or where a value that it wants is not there or empty.
    """
    if text is None:
        return None
    if alone := PLACE.fullmatch(text):
        return value_of(row, alone[1])
    values = {name: value_of(row, name) for name in PLACE.findall(text)}
    if any(value in (None, "") for value in values.values()):
        return None
    return PLACE.sub(lambda found: str(values[found[1]]), text)
