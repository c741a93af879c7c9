"""`spavl track`: bring a run's folder to MLflow, or complete what is missing there."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spavl.errors import TRY_AGAIN, InputError
from spavl.tracking.address import VARIABLE, check_named, default_uri
from spavl.tracking.launch import bring_now, read_outcome

if TYPE_CHECKING:
    from rich.console import Console


def track(
    folder: Annotated[Path, typer.Argument(help="A run's folder, e.g. runs/pocket-20260101.")],
) -> None:
    """Bring a run to MLflow: what its follower could not, or all of it to another server.

    Goes to MLFLOW_TRACKING_URI, or to the store beside the run. What is there already is not sent
    again. Exit code 75 says that something is still missing.
    """
    from rich.console import Console

    folder = folder.absolute()
    if not (folder / "stages").is_dir() and not (folder / "request.json").is_file():
        raise InputError("no run", str(folder), "give the folder of a run, e.g. runs/<name>")
    check_named()
    os.environ[VARIABLE] = os.environ.get(VARIABLE) or default_uri(folder.parent)
    bring_now(folder)
    if not show_tracking(Console(), folder):
        raise typer.Exit(TRY_AGAIN)


def show_tracking(console: "Console", folder: Path) -> bool:
    """The line that opens a run in MLflow and, if there is one, the gap; whether all is there."""
    outcome = read_outcome(folder)
    for line in (
        f"mlflow   {outcome.link}" if outcome.link else "",
        f"not in MLflow yet: {outcome.gap}; spavl track {folder} brings it" if outcome.gap else "",
    ):
        if line:
            console.print(line, soft_wrap=True, markup=False, highlight=False)
    return not outcome.gap
