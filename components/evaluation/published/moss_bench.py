"""MOSSBench (Li et al. 2024): harmless questions about pictures that look alarming."""

import json
from collections.abc import Iterator
from pathlib import Path

from components.evaluation.items import Asked, Missing
from components.evaluation.published.making import Row, published_picture
from spavl.errors import InputError

BENCHMARK = "moss_bench"
FACTS = "images_information/information.json"


def read(folder: Path) -> Iterator[Asked | Missing]:
    """Every question with its picture; pictures are found by number, whatever their format."""
    path = folder / FACTS
    if not path.is_file():
        yield Missing(BENCHMARK, None, f"{FACTS} in {folder.name}/")
        return
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"no JSON: {error}", str(path), "give the published file") from None
    absent = 0
    for number, row in rows.items():
        found = next(iter(sorted((folder / "images").glob(f"{Path(row['image']).stem}.*"))), None)
        content = found.read_bytes() if found else b""
        picture = published_picture(content, f"{BENCHMARK}/{row['image']}", "harmless")
        if picture is None:
            absent += 1
            continue
        category = str(row.get("metadata", {}).get("over", "")) or None
        item = Row(BENCHMARK, None, str(number), row["question"], "harmless", category)
        yield Asked(picture, (item.item(picture),))
    if absent:
        yield Missing(BENCHMARK, None, "pictures in images/", absent)
