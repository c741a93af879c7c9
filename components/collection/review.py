"""The human review list: pictures and their classes on a sheet, decisions back from a table.

It takes the place of the paper's human filter. The sheet is a page with small pictures and a CSV of
the same rows; whoever reviews writes `keep` or `drop` into its last column.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

from components.collection.photographs import Candidate
from spavl.errors import InputError
from spavl.images import ImageStore
from spavl.records import Image, SetAside

COLUMNS = ("image_id", "source", "class", "decision")
DECISIONS = ("keep", "drop", "")
SIDE = 160
"""Longer side of a picture on the sheet, pixels."""
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def write_review(store: ImageStore, folder: Path) -> int:
    """Writes `review.html`, `review.csv` and small pictures of what is no pocket picture.

    Returns:
        How many pictures are to be reviewed.
    """
    import jinja2

    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    rows = []
    for facts in store.facts():
        if facts.thing is not None:
            continue
        picture = store.open(facts.image_id)
        picture.thumbnail((SIDE, SIDE))
        picture.save(pictures / f"{facts.image_id}.jpg", "JPEG")
        rows.append((facts.image_id, facts.source, facts.class3 or facts.truth))
    with (folder / "review.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows([image_id, _plain(source), name, ""] for image_id, source, name in rows)
    template = (files(__package__) / "review.html.jinja").read_text(encoding="utf-8")
    page = jinja2.Environment(autoescape=True).from_string(template).render(rows=rows)
    (folder / "review.html").write_text(page, encoding="utf-8")
    return len(rows)


def _plain(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULAS) else text


def read_dropped(table: Path) -> frozenset[str]:
    """The ids of pictures to drop.

    Args:
        table: `review.csv` with decisions; rows without one are kept.

    Raises:
        InputError: The file is no such table; the message names the row.
    """
    try:
        reader = csv.DictReader(io.StringIO(table.read_text(encoding="utf-8-sig")), strict=True)
        missing = {"image_id", "decision"} - set(reader.fieldnames or ())
        if missing:
            raise InputError(
                f"column {' and '.join(sorted(missing))} missing",
                str(table),
                "give the review.csv of spavl review with your decisions",
            )
        decided = {row["image_id"]: (row["decision"] or "").strip().casefold() for row in reader}
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"not a CSV in UTF-8: {error}", str(table), "save it as such") from None
    except FileNotFoundError:
        raise InputError("no such file", str(table), "correct collection.decisions") from None
    for image_id, decision in decided.items():
        if decision not in DECISIONS:
            raise InputError(
                f"a decision {decision!r}", f"{table}, {image_id}", "say keep, drop or nothing"
            )
    return frozenset(image_id for image_id, decision in decided.items() if decision == "drop")


def without(candidates: Iterable[Candidate], dropped: frozenset[str]) -> Iterator[Candidate]:
    """Candidates, those dropped set aside."""
    for each in candidates:
        if isinstance(each, Image) and each.image_id in dropped:
            yield SetAside(each.source, "collection", "dropped by review", f"as {each.image_id}")
        else:
            yield each
