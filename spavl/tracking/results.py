"""A stage's result for MLflow: a few metrics, and one table of every figure with its interval.

A figure of each class, kind or attack as a metric of its own would fill a run's page with hundreds
of single points.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spavl.tracking.hostile import numbers

TABLE = "tables/result.json"
COLUMNS = ("what", "value", "low", "high", "n")
DEEPEST = 3
MOST_METRICS = 16
IN_THE_CURVES = "final"
"""A trainer's last step; it is the curves' own last point."""


def result_metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """The result's main numbers: of figures the value, of what is parted by class or kind nothing.

    The first `MOST_METRICS`, those that lie least deep before others.
    """
    found = sorted(_main(result, ()), key=lambda each: len(each[0]))
    return numbers({f"result/{'.'.join(path)}": value for path, value in found[:MOST_METRICS]})


def write_result_table(result: Mapping[str, Any], folder: Path) -> Path | None:
    """All figures that have an interval, as MLflow's UI shows tables; None where there are none."""
    rows = [(path, *(figure[key] for key in COLUMNS[1:])) for path, figure in _figures(result, "")]
    if not rows:
        return None
    file = folder / "result.json"
    file.write_text(json.dumps({"columns": COLUMNS, "data": rows}))
    return file


def has_figures(result: Mapping[str, Any]) -> bool:
    """Whether there is anything for the table."""
    return any(True for _ in _figures(result, ""))


def is_figure(value: object) -> bool:
    """Whether it is a figure with an interval."""
    return isinstance(value, Mapping) and {"value", "low", "high", "n"} <= value.keys()


def _main(tree: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in tree.items():
        here = (*path, key)
        if key.startswith("by_") or "_by_" in key or here == (IN_THE_CURVES,):
            continue
        if is_figure(value):
            yield here, value["value"]
        elif isinstance(value, Mapping) and len(here) < DEEPEST:
            yield from _main(value, here)
        elif isinstance(value, int | float):
            yield here, value


def _figures(tree: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if is_figure(tree):
        yield path, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _figures(value, f"{path}, {key}".removeprefix(", "))
