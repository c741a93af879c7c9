"""Anthropic-Helpful (Bai et al. 2022): the first request of each helpful conversation, as text."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from components.evaluation.items import Asked, Missing
from components.evaluation.published.making import Row
from spavl.errors import InputError

BENCHMARK = "anthropic_helpful"
HUMAN, ASSISTANT = "Human:", "Assistant:"


def read(folder: Path) -> Iterator[Asked | Missing]:
    """Distinct first requests in the file's order."""
    paths = [p for n in ("test.jsonl", "test.jsonl.gz") if (p := folder / n).is_file()]
    if not paths:
        yield Missing(BENCHMARK, None, f"test.jsonl in {folder.name}/")
        return
    for question in dict.fromkeys(_first_request(line, paths[0]) for line in _lines(paths[0])):
        yield Asked(None, (Row(BENCHMARK, None, question, question, "harmless").item(),))


def _lines(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8") as stream:
        yield from filter(str.strip, stream)


def _first_request(line: str, path: Path) -> str:
    try:
        told = json.loads(line)["chosen"].split(HUMAN, 1)[1]
    except (ValueError, KeyError, IndexError, AttributeError):
        raise InputError(
            "a line without a conversation in 'chosen'", str(path), "give the published file"
        ) from None
    return str(told.split(ASSISTANT, 1)[0]).strip()
