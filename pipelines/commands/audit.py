"""`spavl audit`: people judge some of a run's pairs; how far the judges agree with them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.commands.paths import shown_path
from spavl.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from components.labeling.audit import AuditSources

audit = typer.Typer(help="Hold the judges against people.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="A run's folder, e.g. runs/pocket-20260101.")]


@audit.command()
def out(
    folder: Folder,
    rows: Annotated[int, typer.Option(help="Pairs to be judged.", min=1)] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the draw.", min=0)] = 0,
) -> None:
    """Write the sheet to fill in, audit/audit.csv, and the same pairs with pictures, audit.html."""
    from components.labeling.audit import write_sheet

    target = folder / "audit"
    if (target / "audit.csv").exists():
        raise InputError(
            "a sheet is there already",
            str(target / "audit.csv"),
            "move it, so that no label is lost",
        )
    drawn = write_sheet(_sources(folder), rows, seed, target)
    print(f"{drawn} pairs in {shown_path(target.absolute() / 'audit.csv')}, shown in audit.html")


@audit.command(name="in")
def in_(
    folder: Folder,
    sheet: Annotated[
        Path | None, typer.Argument(help="The sheet, filled in; audit/audit.csv by default.")
    ] = None,
) -> None:
    """Agreement of the judges with the sheet's labels, as a table and in audit/agreement.json."""
    from rich.console import Console

    from components.labeling.audit import agreement_with_people

    sources = _sources(folder)
    found = agreement_with_people(sources, sheet or folder / "audit" / "audit.csv")
    judge = json.loads((sources.preferences / "agreement.json").read_text())
    found["swaps"] = {name: judge[name] for name in ("swap_consistency", "first_place_rate")}
    target = folder / "audit" / "agreement.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(found, indent=2) + "\n")
    Console().print(_table(found))
    print(f"written to {shown_path(target.absolute())}")


def _sources(folder: Path) -> "AuditSources":
    from components.labeling.audit import AuditSources
    from spavl.storage import refreshed

    made_by = {"pairing": "pairs", "judging": "preferences", "collection": "images"}
    places = {}
    for stage, name in made_by.items():
        told = folder / "stages" / f"{stage}.json"
        if not told.is_file():
            raise InputError(
                "no judged pairs", str(folder), "give the folder of a run that has judged its pairs"
            )
        places[name] = refreshed(Path(json.loads(told.read_text())["work"]) / name)
    return AuditSources(**places)


def _table(found: dict[str, Any]) -> "Table":
    from rich.table import Table

    from components.reporting.summary import percent

    table = Table("", "%, 95% interval", "kappa", "n", box=None, padding=(0, 2, 0, 0))
    for key, name in (("judge", "better answer, as people"), ("moderator", "safe, as people")):
        raw, kappa = found[key]["agreement"], found[key]["kappa"]["value"]
        table.add_row(name, percent(raw), "–" if kappa is None else f"{kappa:.2f}", str(raw["n"]))
    for key, name in (
        ("sensitivity", "unsafe found, of what people call unsafe"),
        ("specificity", "safe found, of what people call safe"),
    ):
        share = found["moderator"]["errors"][key]
        table.add_row(name, percent(share), "", str(share["n"]))
    for key, name in (
        ("swap_consistency", "same verdict with answers swapped"),
        ("first_place_rate", "verdicts for the first place"),
    ):
        rate = found["swaps"][key]
        table.add_row(name, percent(rate), "", str(rate["n"]))
    return table
