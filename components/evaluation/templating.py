"""Templates of judges that are models: which one an item needs, and how it is filled in."""

from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from components.evaluation.judging import task_of
from components.evaluation.metrics import HELP
from components.evaluation.scenarios import rubric_of
from spavl.judges.quoting import quoted
from spavl.records import EvalItem

SHOWN_CHARACTERS = 8000
"""Of a text that is shown at once."""
RUBRIC = "rubric"
UNSURE = "unsure"
"""The word of a judge that abstains, in every template but the rubric's."""


def template_of(item: EvalItem) -> str:
    """Name of the template that an item's answers are judged by."""
    if item.benchmark in HELP:
        return "help"
    return "compliance" if task_of(item) == "compliance" else rubric_of(item.class3)


def words_of(template: str) -> dict[str, str]:
    """What a judge may say, and the outcome that it stands for."""
    words: dict[str, str] = _verdicts()[template]
    return words


def templates_version() -> int:
    """Part of a judge's name."""
    version: int = _verdicts()["version"]
    return version


def filled_in(template: str, question: str, answer: str, other: str = "") -> str:
    """A prompt.

    Args:
        template: Its name.
        question: What was asked.
        answer: What is judged, quoted already.
        other: What it is compared with, quoted already.
    """
    shown = quoted(question, SHOWN_CHARACTERS)
    return str(_compiled(template).render(question=shown, answer=answer, other=other)).strip()


@lru_cache(maxsize=16)
def _compiled(template: str) -> Any:
    from jinja2 import Environment, StrictUndefined

    # Plain text for a model; its reply is data that the report escapes.
    environment = Environment(autoescape=False, undefined=StrictUndefined)
    text = (files(__package__) / "templates" / f"{template}.jinja").read_text(encoding="utf-8")
    return environment.from_string(text)


@lru_cache(maxsize=1)
def _verdicts() -> dict[str, Any]:
    text = (files(__package__) / "templates" / "verdicts.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content
