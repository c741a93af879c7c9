"""Prompt files: Jinja templates in a folder `prompts`, named `<what>.v<version>.jinja`."""

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from spavl.errors import InputError

if TYPE_CHECKING:
    from jinja2 import Template


def render(package: str, name: str, **values: object) -> str:
    """Fills in a prompt.

    Args:
        package: The package beside whose modules the folder lies.
        name: Name and version, e.g. `easy_question.v1`.
        values: The template's variables; a missing one is an error.

    Raises:
        InputError: There is no such prompt file.
    """
    return _template(package, name).render(**values).strip()


@cache
def _template(package: str, name: str) -> "Template":
    from jinja2 import Environment, StrictUndefined

    folder = files(package) / "prompts"
    path = folder / f"{name}.jinja"
    if not path.is_file():
        known = ", ".join(sorted(p.name.removesuffix(".jinja") for p in folder.iterdir()))
        raise InputError(f"no prompt {name!r}", str(folder), f"choose one of: {known}")
    # Prompts are plain text for a model: nothing is escaped.
    environment = Environment(undefined=StrictUndefined, autoescape=False)
    return environment.from_string(path.read_text(encoding="utf-8"))
