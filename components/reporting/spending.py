"""What a run's calls to endpoints have cost, by stage and endpoint, from the run's ledger."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.reporting.tables import Table
from spavl.chat.accounts import read_accounts, summed_up
from spavl.environment import run_folder

NO_PRICE = "no price"
"""Stands where a cost is not known, which is not 0."""


def run_spending() -> list[dict[str, Any]]:
    """A row for each stage and endpoint that this run called; none outside a run.

    What earlier runs had paid for is not in it.
    """
    folder = run_folder()
    return summed_up(read_accounts(folder)) if folder else []


def spending_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The same for people, with what all calls with a price cost together."""
    counts = ("calls", "prompt_tokens", "completion_tokens")
    cells = [
        (
            row["stage"],
            row["model"],
            row["endpoint"],
            *(row[name] for name in counts),
            priced(row["cost"]),
            row["lost"],
            priced(row["lost_cost"]) if row["lost"] else "",
        )
        for row in rows
    ]
    columns = (
        "stage",
        "model",
        "endpoint",
        *counts,
        "cost",
        "charged and perhaps not received",
        "about",
    )
    return Table(columns, cells)


def priced(cost: float | None) -> float | str:
    """A cost, or that there is no price."""
    return NO_PRICE if cost is None else round(cost, 6)
