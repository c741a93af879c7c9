"""How far answers refuse, by the answers that were labelled before the judge was written."""

from pathlib import Path
from typing import Any

import yaml

from spavl.judges import refusal_of

_LABELS = {"none": "full_compliance", "full": "full_refusal", "partial": "partial_refusal"}


def _answers() -> list[dict[str, Any]]:
    text = Path(__file__).with_name("refusal_answers.yaml").read_text(encoding="utf-8")
    answers: list[dict[str, Any]] = yaml.safe_load(text)["answers"]
    return answers


def test_answers_of_ten_languages_are_read_as_labelled() -> None:
    answers = _answers()
    right = [_LABELS[refusal_of(answer["text"])] == answer["expect"] for answer in answers]
    assert len({answer["lang"] for answer in answers}) == 10
    assert sum(right) >= 0.95 * len(answers) >= 85
