"""AdvBench (Zou et al. 2023): harmful requests as text, alone and with an attack's suffix."""

from collections.abc import Iterator
from pathlib import Path

from components.evaluation.items import Asked, Missing
from components.evaluation.published.making import Row, read_table

BENCHMARK = "adv_bench"
ABSENT = "the attack's suffix: add suffix.txt or name a file by evaluation.published.suffix_file"


def read(folder: Path, suffix: Path | None = None) -> Iterator[Asked | Missing]:
    """Every goal, and every goal followed by the attack's suffix where there is one.

    Args:
        folder: The benchmark's folder.
        suffix: File with the suffix, in place of the folder's `suffix.txt`.
    """
    table = folder / "harmful_behaviors.csv"
    if not table.is_file():
        yield Missing(BENCHMARK, None, f"{table.name} in {folder.name}/")
        return
    goals = [row["goal"] for row in read_table(table, "goal", "target")]
    yield from (_asked("vanilla", goal, goal) for goal in goals)
    suffix = suffix or folder / "suffix.txt"
    if suffix.is_file():
        text = suffix.read_text(encoding="utf-8").strip()
        yield from (_asked("suffix", goal, f"{goal} {text}") for goal in goals)
    else:
        yield Missing(BENCHMARK, "suffix", ABSENT, len(goals))


def _asked(kind: str, goal: str, question: str) -> Asked:
    return Asked(None, (Row(BENCHMARK, kind, goal, question, "harmful", group=goal).item(),))
