"""SPA-VL's own test sets: HarmEval and HelpEval, 265 questions about pictures each."""

from collections.abc import Iterator
from pathlib import Path

from components.evaluation.items import Asked, Missing
from components.evaluation.published.making import Row, published_picture

SPLITS = {"harm": ("spa_vl_harm_eval", "harmful"), "help": ("spa_vl_help_eval", "harmless")}
COLUMNS = ["image", "question", "class3"]


def read(folder: Path) -> Iterator[Asked | Missing]:
    """Both splits, from Parquet files whose names begin with the split's."""
    for split, (benchmark, truth) in SPLITS.items():
        paths = sorted((folder / "test").glob(f"{split}*.parquet"))
        if not paths:
            yield Missing(benchmark, None, f"test/{split}*.parquet in {folder.name}/")
        for path in paths:
            yield from _rows(path, benchmark, truth)


def _rows(path: Path, benchmark: str, truth: str) -> Iterator[Asked | Missing]:
    from pyarrow import parquet

    absent = 0
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=64, columns=COLUMNS):
            for row in batch.to_pylist():
                content = (row["image"] or {}).get("bytes") or b""
                picture = published_picture(content, f"{benchmark}/{path.name}", truth)
                if picture is None:
                    absent += 1
                    continue
                key = f"{picture.image_id} {row['question']}"
                item = Row(benchmark, None, key, row["question"], truth, row["class3"])
                yield Asked(picture, (item.item(picture),))
    if absent:
        yield Missing(benchmark, None, f"pictures of {path.name}", absent)
