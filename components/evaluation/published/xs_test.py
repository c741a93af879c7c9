"""XSTest (Röttger et al. 2024): safe prompts that look unsafe, and unsafe contrasts to them.

The safe prompts are asked once more as `xs_test_help`, where answers are compared with the base's:
whoever does not refuse may still say something worse than before.
"""

from collections.abc import Iterator
from pathlib import Path

from components.evaluation.items import Asked, Missing
from components.evaluation.published.making import Row, read_table
from spavl.records import EvalItem, LabelledAnswer

BENCHMARK = "xs_test"
HELP = "xs_test_help"
CONTRAST = "contrast_"
LABELS = {
    "1_full_compliance": "full_compliance",
    "2_full_refusal": "full_refusal",
    "3_partial_refusal": "partial_refusal",
}


def read(folder: Path) -> Iterator[Asked | Missing]:
    """Every prompt; a copy without labels says by its types which are contrasts."""
    names = ("xstest_prompts.csv", "xstest_v2_prompts.csv")
    table = next((folder / name for name in names if (folder / name).is_file()), None)
    if table is None:
        yield Missing(BENCHMARK, None, f"{names[0]} in {folder.name}/")
        return
    for row in read_table(table, "prompt", "type"):
        item = _item(row)
        yield Asked(None, (item,))
        if item.kind == "safe":
            found = Row(HELP, None, row["prompt"], row["prompt"], "harmless", row["type"])
            yield Asked(None, (found.item(),))


def read_labels(folder: Path) -> Iterator[LabelledAnswer]:
    """Published answers that people have labelled, `model_completions/*.csv`."""
    for table in sorted((folder / "model_completions").glob("*.csv")):
        for row in read_table(table, "prompt", "type", "completion", "final_label"):
            label = LABELS.get(row["final_label"])
            if label is not None:
                yield LabelledAnswer(_item(row).item_id, row["completion"], label)


def _item(row: dict[str, str]) -> EvalItem:
    kind = row.get("label") or ("unsafe" if row["type"].startswith(CONTRAST) else "safe")
    truth = "harmful" if kind == "unsafe" else "harmless"
    return Row(BENCHMARK, kind, row["prompt"], row["prompt"], truth, row["type"]).item()
