"""`spavl plan`: calls, tokens and cost of a run, before anything is paid."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.completion import complete_profile, complete_setting
from pipelines.commands.paths import absolute_address

if TYPE_CHECKING:
    from rich.console import Console

    from pipelines.planning import Plan

PLAN_EXAMPLES = """Examples:

- `spavl plan --profile mine.yaml --images photos/`
- `spavl plan --profile mine.yaml --pictures 30000 --json`
- `spavl plan --profile mine.yaml --data imported/`

See also: docs/money.md."""
NO_PRICE = "no price"
WIDTH = 200


def plan(
    profile: Annotated[
        str,
        typer.Option(
            help="Settings to start from: a profile's name, or the path of your own YAML file.",
            autocompletion=complete_profile,
        ),
    ] = "pocket",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="STAGE.KEY=VALUE",
            help="Change one setting; repeatable.",
            autocompletion=complete_setting,
        ),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of your own pictures to add.")] = None,
    pictures: Annotated[
        int | None,
        typer.Option(min=0, help="Plan for so many pictures, whatever the sources hold."),
    ] = None,
    data: Annotated[
        str, typer.Option(help="Start from a preference data set instead of making one.")
    ] = "",
    out: Annotated[
        Path, typer.Option(help="Folder of all runs; earlier ones tell how long answers are.")
    ] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what a run will ask of endpoints and what that costs, before anything is paid.

    One row for each stage and endpoint: calls, tokens read and written, cost. `lengths` says where
    the lengths of answers are from: `expected` by a setting, `seen` in earlier runs, or `assumed`.
    Of a model that is not pocket's follows what its training costs in GPU-hours and memory.
    """
    from pipelines.planning import PlanRequest, make_plan

    os.environ.setdefault("SPAVL_WORK_ROOT", str(out.absolute() / ".work"))
    folder = str(images.absolute()) if images else ""
    planned = make_plan(
        PlanRequest(profile, tuple(set_ or ()), folder, absolute_address(data), pictures, out)
    )
    if as_json:
        _print_json(planned)
    else:
        _print_table(planned)


def _print_json(planned: "Plan") -> None:
    import json
    from dataclasses import asdict

    told = {
        "rows": [row.to_json() for row in planned.rows],
        "cost": planned.cost,
        "rows_without_price": planned.unpriced,
        "pictures": planned.pictures,
        "models": planned.models,
        "training": [{**asdict(stage), "gpu_hours": stage.gpu_hours} for stage in planned.training],
    }
    print(json.dumps(told, indent=1, ensure_ascii=False))


def _print_table(planned: "Plan") -> None:
    from rich.console import Console

    # Whoever reads it through a pipe wants whole addresses.
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    _print_calls(planned, console)
    if planned.training:
        _print_training(planned, console)


def _print_training(planned: "Plan", console: "Console") -> None:
    from rich.table import Table

    from spavl.alignment.planning import table

    heading, *lines = table(planned.training)
    shown = Table(*heading, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for line in lines:
        shown.add_row(*line)
    console.print(shown)
    console.print(
        "for LLaVA-1.5-7B's size and A100s at 40% of their peak: arithmetic, not measured"
    )


def _print_calls(planned: "Plan", console: "Console") -> None:
    from rich.markup import escape
    from rich.table import Table

    if not planned.rows:
        console.print("nothing is asked of endpoints: all models run in the stages themselves")
        return
    columns = ("stage", "model", "endpoint", "calls", "read", "written", "cost", "lengths")
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("calls", "read", "written", "cost"):
        table.columns[columns.index(name)].justify = "right"
    for row in planned.rows:
        counts = (row.calls, row.prompt_tokens, row.completion_tokens)
        texts = (row.heading.stage, row.heading.model, row.heading.endpoint)
        cells = (*map(escape, texts), *(f"{n:,}" for n in counts), priced(row.cost), row.lengths)
        table.add_row(*cells)
    console.print(table)
    console.print(_together(planned))


def _together(planned: "Plan") -> str:
    calls = sum(row.calls for row in planned.rows)
    about = "" if planned.pictures is None else f" about {planned.pictures:,} pictures"
    unpriced = f" and {planned.unpriced} rows without price" if planned.unpriced else ""
    cost = NO_PRICE if planned.cost is None else priced(planned.cost) + unpriced
    return f"together {calls:,} calls{about}: {cost}"


def priced(cost: float | None) -> str:
    """A cost as people read it; where there is no price it says so."""
    return NO_PRICE if cost is None else f"{cost:,.4f}" if cost < 1 else f"{cost:,.2f}"
