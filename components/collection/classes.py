"""Classes that a user gives for photographs, as a CSV with the columns `file` and `class`."""

import csv
from dataclasses import dataclass
from pathlib import Path

from components.collection.url_tables import LONGEST_FIELD
from spavl.errors import InputError
from spavl.taxonomy import load_taxonomy

COLUMNS = {"file", "class"}


@dataclass(frozen=True)
class PhotographClass:
    """What is known of a photograph; a class that the taxonomy lacks leaves the truth unknown."""

    truth: str = "unknown"
    class1: str | None = None
    class2: str | None = None
    class3: str | None = None


def read_classes(table: Path, folder: Path) -> dict[str, PhotographClass]:
    """Reads the classes of a folder's photographs.

    Args:
        table: UTF-8 CSV; `file` is relative to the folder, `class` is a class of the taxonomy in
            any spelling it knows, or `harmless`.
        folder: The folder.

    Returns:
        Relative file name to class.

    Raises:
        InputError: The file is no such CSV, or a row names no file of the folder or one twice.
    """
    classes: dict[str, PhotographClass] = {}
    try:
        csv.field_size_limit(LONGEST_FIELD)
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = COLUMNS - set(reader.fieldnames or ())
            if missing:
                raise InputError(
                    f"column {' and '.join(sorted(missing))} missing",
                    str(table),
                    "give a CSV with the columns file and class",
                )
            for row in reader:
                name = _file_of(row, f"{table}:{reader.line_num}", folder, classes)
                classes[name] = _class_of((row["class"] or "").strip())
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"not a CSV in UTF-8: {error}", str(table), "save it as such") from None
    return classes


def _file_of(
    row: dict[str, str | None], where: str, folder: Path, known: dict[str, PhotographClass]
) -> str:
    name = Path((row["file"] or "").strip()).as_posix()
    if not (folder / name).is_file():
        raise InputError(f"no file {name!r} in {folder}", where, "correct or remove this row")
    if name in known:
        raise InputError(f"{name!r} has a class already", where, "remove one of its rows")
    return name


def _class_of(text: str) -> PhotographClass:
    if text.casefold() == "harmless":
        return PhotographClass("harmless")
    harm = load_taxonomy().find(text) if text else None
    if harm is None:
        return PhotographClass(class3=text or None)
    return PhotographClass("harmful", harm.domain, harm.category, harm.name)
