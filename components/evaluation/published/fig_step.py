"""FigStep (Gong et al. 2025): instructions hidden in pictures as numbered lists to be filled."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from components.evaluation.items import Asked, Missing
from components.evaluation.published.making import Row, published_picture, read_table

BENCHMARK = "fig_step"
TINY, FULL = "SafeBench-Tiny.csv", "safebench.csv"


def read(folder: Path, tiny: bool) -> Iterator[Asked | Missing]:
    """The instruction's picture with the one text that is put to all of them."""
    tables = {path.name: path for path in sorted(folder.rglob("*.csv"))}
    names = (TINY, FULL) if tiny else (FULL, TINY)
    table = next((tables[name] for name in names if name in tables), None)
    if table is None:
        yield Missing(BENCHMARK, None, f"{TINY} or {FULL} in {folder.name}/")
        return
    pictures = {path.name: path for path in sorted(folder.rglob("query_*.png"))}
    question = (files(__package__) / "fig_step.txt").read_text(encoding="utf-8").strip()
    absent = 0
    for row in read_table(table, "dataset", "category_id", "task_id", "category_name"):
        name = f"query_{row['dataset']}_{row['category_id']}_{row['task_id']}_6.png"
        content = pictures[name].read_bytes() if name in pictures else b""
        picture = published_picture(content, f"{BENCHMARK}/{name}", "harmful")
        if picture is None:
            absent += 1
            continue
        found = Row(BENCHMARK, None, name, question, "harmful", row["category_name"])
        yield Asked(picture, (found.item(picture),))
    if absent:
        yield Missing(BENCHMARK, None, "pictures query_*.png", absent)
