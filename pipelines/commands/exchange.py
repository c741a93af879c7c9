"""`spavl export` and `spavl import`: data sets in SPA-VL's layout and in those of others."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.paths import absolute_path, shown_path
from pipelines.preflight import check_writable
from spavl.errors import InputError

if TYPE_CHECKING:
    from spavl.published.exporting import Source

EXPORT_EXAMPLES = """Examples:

- `spavl export runs/pocket-20260101-120000 published/`
- `spavl export imported/ again/ --form parquet --licence cc-by-4.0`
- `spavl export imported/ for-trl/ --layout trl_conversational --form parquet`"""

IMPORT_EXAMPLES = """Examples:

- `spavl import published/ imported/`
- `spavl import hub:sqrti/SPA-VL imported/`
- `spavl import mine/dpo.jsonl imported/ --layout ms_swift`"""


class FormChoice(StrEnum):
    """How rows are written."""

    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"


def export(
    source: Annotated[
        Path, typer.Argument(help="A run's folder, or one that spavl import has made.")
    ],
    out: Annotated[Path, typer.Argument(help="A new folder for the published layout.")],
    form: Annotated[
        FormChoice,
        typer.Option(help="json, jsonl: rows beside a folder of pictures; parquet: all in one."),
    ] = FormChoice.JSON,
    layout: Annotated[
        str, typer.Option(help="Layout of the preferences; see spavl import --help.")
    ] = "spa_vl",
    licence: Annotated[
        str, typer.Option(help="Licence that the data card names, e.g. cc-by-4.0.")
    ] = "not stated",
) -> None:
    """Write a run's preferences, test items and pictures in a published layout, with a card."""
    from spavl.published import LAYOUTS, Manner
    from spavl.published import export as write
    from spavl.published.files import named_layout

    manner = Manner(form.value, licence, LAYOUTS[named_layout(layout) or layout])
    require_new(absolute_path(out))
    rows = write(data_sets_of(source), out, manner)
    _tell(rows, out)


def import_(
    place: Annotated[
        str, typer.Argument(help="A folder or file of rows, or hub:OWNER/NAME[/FILE].")
    ],
    out: Annotated[Path, typer.Argument(help="A new folder for our data sets.")],
    layout: Annotated[
        str | None, typer.Option(help="Name of its layout; by default it is found, file by file.")
    ] = None,
    drop_overlap: Annotated[
        bool, typer.Option("--drop-overlap", help="Set aside rows that another split has too.")
    ] = False,
) -> None:
    """Read a published data set: its pictures are checked, its rows become ours.

    Layouts: spa_vl, spa_vl_rlhf, trl_conversational, trl_plain, llama_factory, ms_swift, rlhf_v,
    rlaif_v, vlguard, beavertails_v, mm_rlhf; as JSON, JSON lines or Parquet. Rows of classes that
    the taxonomy does not know are kept and counted; rows that cannot be used, or whose picture
    cannot, are set aside with the reason.
    """
    from components.collection.checking import PictureDoor
    from spavl.published import import_ as read

    require_new(absolute_path(out))
    with PictureDoor() as door:
        imported = read(place, out, door.let_in, layout)
    _tell(imported.rows, out)
    for name, counted in (
        ("class unknown", imported.unknown_classes),
        ("set aside", imported.set_aside),
    ):
        for what, count in sorted(counted.items()):
            print(f"{name}: {count} rows, {what}")
    for what, count in sorted(imported.joined.items()):
        print(f"meta_files: {count} {what} known")
    for why in imported.unread:
        print(f"meta_files: not read: {why}")
    _tell_overlap(out, drop_overlap)


def _tell_overlap(out: Path, drop: bool) -> None:
    """Tell what the splits have in common, and mend it if that is asked for."""
    from components.collection import overlap

    found = overlap.find_overlap(out)
    for (split, other, how), count in sorted(found.pictures.items()):
        print(f"overlap: {count} pictures of {split} are in {other}, {how}")
    for (split, other, how), count in sorted(found.rows.items()):
        print(f"overlap: {count} rows of {split}, {how} in {other}")
    if drop:
        print(f"dropped: {overlap.drop_overlap(out, found)} rows")
    elif found.rows:
        print("--drop-overlap sets these rows aside")


def data_sets_of(folder: Path) -> "Source":
    """The data sets of a run, or of an imported folder.

    Raises:
        InputError: The run has not made them yet.
    """
    from spavl.published.exporting import Source
    from spavl.published.sources import addresses_of
    from spavl.storage import local_copy

    places = vars(addresses_of(str(folder)))
    return Source(**{name: local_copy(place) for name, place in places.items()})


def require_new(out: Path) -> None:
    """Check that a folder is not there yet, or empty.

    Raises:
        InputError: If it holds something, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("a folder with something in it", str(out), "name a new one")
    check_writable(out, "name another folder")


def _tell(rows: dict[str, int], out: Path) -> None:
    told = ", ".join(f"{count} {split}" for split, count in rows.items())
    print(f"{shown_path(out.absolute())}: {told}")
