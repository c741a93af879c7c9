"""The table of pictures' classes beside the rows, since training rows carry none.

`classes.csv` has a row for each picture: its file name, its truth and its class as published.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, get_args

from spavl.errors import InputError
from spavl.published.rows import Classes
from spavl.records import Truth

FILE = "classes.csv"
COLUMNS = ("image_name", "truth", "class1", "class2", "class3")


class Shown(NamedTuple):
    """What a picture shows: its truth, and its class in the published spelling."""

    truth: str
    classes: Classes


def write_classes(folder: Path, shown: Iterable[tuple[str, Shown]]) -> None:
    """Writes the table of file names and what the pictures show."""
    with (folder / FILE).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for name, (truth, classes) in shown:
            writer.writerow([name, truth, *(each or "" for each in classes)])


def read_classes(folder: Path) -> dict[str, Shown]:
    """The table by file name; empty where there is none.

    Raises:
        InputError: The file is no such table; the message names the row.
    """
    table = folder / FILE
    if not table.is_file():
        return {}
    found = {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = set(COLUMNS) - set(reader.fieldnames or ())
            if missing:
                raise InputError(
                    f"column {' and '.join(sorted(missing))} missing",
                    str(table),
                    "give its columns or remove the table",
                )
            for row in reader:
                if row["truth"] not in get_args(Truth):
                    where = f"{table}:{reader.line_num}"
                    raise InputError(
                        f"a truth {row['truth']!r}", where, f"say one of {get_args(Truth)}"
                    )
                classes = (row["class1"] or None, row["class2"] or None, row["class3"] or None)
                found[row["image_name"]] = Shown(row["truth"], classes)
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"not a CSV in UTF-8: {error}", str(table), "save it as such") from None
    return found
