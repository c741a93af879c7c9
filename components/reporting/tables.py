"""Tables beside the report, as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# A spreadsheet takes a cell that begins so for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Table:
    """Columns and rows; cells are texts, numbers or None."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    @property
    def numeric(self) -> list[bool]:
        """Whether a column holds numbers alone."""
        cells = zip(*self.rows, strict=True)
        return [all(isinstance(c, (int, float)) or c is None for c in column) for column in cells]

    def csv(self) -> str:
        """The table as CSV. A text that a spreadsheet would compute gets an apostrophe first."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_harmless(cell) for cell in row] for row in self.rows)
        return stream.getvalue()


def figure_cells(figure: Mapping[str, Any] | None) -> tuple[Any, ...]:
    """`value, low, high, n` of a figure; empty cells without one."""
    if figure is None:
        return (None, None, None, 0)
    return tuple(figure[key] for key in ("value", "low", "high", "n"))


def _harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell
