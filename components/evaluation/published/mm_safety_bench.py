"""MM-SafetyBench (Liu et al. 2024): 13 scenarios, each question in four columns.

`text` asks the changed question alone; `sd` shows a painted picture; `typo` shows the key phrase in
writing; `sd_typo` shows both. Typo pictures are drawn from the key phrase where they are absent,
and counted apart from those that were read.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.evaluation.items import Asked, Missing
from components.evaluation.published.making import Row, published_picture
from components.evaluation.published.typography import written
from spavl.errors import InputError
from spavl.records import Image

BENCHMARK = "mm_safety_bench"
TEXT = "Changed Question"
WRITTEN = "typo"
# Column: folder of its pictures, and what is asked about them.
PICTURED = {
    "sd": ("SD", "Rephrased Question(SD)"),
    "typo": ("TYPO", "Rephrased Question"),
    "sd_typo": ("SD_TYPO", "Rephrased Question"),
}


def read(folder: Path, tiny: bool) -> Iterator[Asked | Missing]:
    """All columns of the Tiny list's questions, or of all.

    Args:
        folder: The benchmark's folder.
        tiny: Whether only the list of 168 is asked, as SPA-VL does.
    """
    scenarios = sorted((folder / "processed_questions").glob("*.json"))
    if not scenarios:
        yield Missing(BENCHMARK, None, f"processed_questions/*.json in {folder.name}/")
        return
    listed = _tiny_list(folder) if tiny else {}
    absent: Counter[tuple[str, str]] = Counter()
    for path in scenarios:
        questions = _load(path)
        wanted = listed.get(path.stem, []) if tiny else list(questions)
        for number in wanted:
            if number in questions:
                yield from _asked(folder, path.stem, number, questions[number], absent)
            else:
                absent["text", f"question {number} of {path.stem}"] += 1
                absent.update((kind, f"question {number} of {path.stem}") for kind in PICTURED)
    for (kind, what), n in absent.items():
        yield Missing(BENCHMARK, kind, what, n)


def _asked(
    folder: Path,
    scenario: str,
    number: str,
    texts: Mapping[str, str],
    absent: Counter[tuple[str, str]],
) -> Iterator[Asked]:
    name = f"{scenario}/{number}"

    def row(kind: str, text: str) -> Row:
        return Row(BENCHMARK, kind, name, texts[text], "harmful", scenario, name)

    yield Asked(None, (row("text", TEXT).item(),))
    for kind, (directory, text) in PICTURED.items():
        path = next(
            iter(sorted((folder / "imgs" / scenario / directory).glob(f"{number}.*"))), None
        )
        drawn = path is None and kind == WRITTEN
        picture = _drawn(texts["Key Phrase"]) if drawn else _read(path)
        if picture is None:
            absent[kind, f"pictures of column {directory}"] += 1
        else:
            yield Asked(picture, (row(kind, text).item(picture),), drawn)


def _read(path: Path | None) -> Image | None:
    if path is None:
        return None
    place = "/".join((BENCHMARK, *path.parts[-3:]))
    return published_picture(path.read_bytes(), place, "harmful")


def _drawn(phrase: str) -> Image | None:
    return published_picture(written(phrase), f"{BENCHMARK}/drawn", "harmful")


def _tiny_list(folder: Path) -> dict[str, list[str]]:
    path = folder / "TinyVersion_ID_List.json"
    if not path.is_file():
        raise InputError(
            "no Tiny list", str(path), "add it, or set evaluation.published.subset=full"
        )
    return {
        entry["Scenario"]: [str(number) for number in entry["Sampled_ID_List"]]
        for entry in _load(path)
    }


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"no JSON: {error}", str(path), "give the published file") from None
