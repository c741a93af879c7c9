"""AdvBench (Zou et al. 2023): harmful requests as text, alone and with an attack's suffix."""

from collections.abc import Iterator
from pathlib import Path

from components.evaluation.items import Asked, Missing
from components.evaluation.published.making import Row, read_table

BENCHMARK = "adv_bench"


def read(folder: Path) -> Iterator[Asked | Missing]:
    """Every goal, and every goal followed by `suffix.txt` where there is one."""
    table = folder / "harmful_behaviors.csv"
    if not table.is_file():
        yield Missing(BENCHMARK, None, f"{table.name} in {folder.name}/")
        return
    goals = [row["goal"] for row in read_table(table, "goal", "target")]
    yield from (_asked("vanilla", goal, goal) for goal in goals)
    suffix = folder / "suffix.txt"
    if suffix.is_file():
        text = suffix.read_text(encoding="utf-8").strip()
        yield from (_asked("suffix", goal, f"{goal} {text}") for goal in goals)
    else:
        yield Missing(BENCHMARK, "suffix", "the attack's suffix, suffix.txt", len(goals))


def _asked(kind: str, goal: str, question: str) -> Asked:
    return Asked(None, (Row(BENCHMARK, kind, goal, question, "harmful", group=goal).item(),))
