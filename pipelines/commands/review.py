"""`spavl review`: a sheet of a run's photographs for a person to decide on."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.exchange import data_sets_of, require_new
from pipelines.commands.paths import shown_path


def review(
    source: Annotated[
        Path, typer.Argument(help="A run's folder, or one that spavl import has made.")
    ],
    out: Annotated[Path, typer.Argument(help="A new folder for the sheet.")],
) -> None:
    """Write review.html and review.csv of a run's photographs.

    Write keep or drop into the CSV's last column, then run again with
    --set collection.decisions=review.csv: what is dropped is set aside.
    """
    from components.collection.review import write_review
    from spavl.images import ImageStore

    require_new(out)
    count = write_review(ImageStore(str(data_sets_of(source).images)), out)
    print(f"{shown_path(out.absolute() / 'review.html')}: {count} pictures")
