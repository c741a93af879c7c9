"""The audit: people judge some of the pairs, and their judgement is held against the judges'.

Out: a sheet to fill in (CSV) and a page that shows the same pairs with their pictures (HTML).
Neither says who answered or what a judge found. In: the sheet. Pairs without an agreed verdict
(swap disagreements, abstentions) are left out; ties are in.
"""

import csv
import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from spavl.correction import errors_by_labels
from spavl.errors import InputError
from spavl.images import ImageStore, picture_uri
from spavl.records import Pair, Preference, SetAside, record_id
from spavl.shards import read_records, read_rows
from spavl.statistics import agreement

BETTER = ("first", "second", "tie")
SAFE = ("yes", "no")
LABELS = ("better", "first_safe", "second_safe")
COLUMNS = ("pair_id", "question", "first", "second", *LABELS)
_PICTURE_PIXELS = 480
_Labelled = tuple[tuple[str, str], tuple[str, str]]
"""A person's and a judge's label, and the picture and the question it is about."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class AuditSources:
    """What is audited.

    Attributes:
        pairs: Data set of `Pair`.
        preferences: Data set of `Preference`, with its `set_asides`.
        images: The image store.
    """

    pairs: Path
    preferences: Path
    images: Path


def write_sheet(sources: AuditSources, rows: int, seed: int, folder: Path) -> int:
    """Draws pairs and writes `audit.csv` and `audit.html`.

    Args:
        sources: The data sets.
        rows: Pairs wanted.
        seed: Seed of the draw.
        folder: Where the files go.

    Returns:
        Pairs drawn; fewer than wanted where there are no more.
    """
    verdicts = _Verdicts(sources.preferences)
    drawn = heapq.nsmallest(
        rows,
        (pair for pair in read_records(sources.pairs, Pair) if verdicts.on(pair)),
        key=lambda pair: record_id("audit", str(seed), pair.pair_id),
    )
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "audit.csv").open("w", encoding="utf-8", newline="") as stream:
        sheet = csv.DictWriter(stream, COLUMNS, restval="")
        sheet.writeheader()
        sheet.writerows(_row(pair) for pair in drawn)
    page = _page(drawn, ImageStore(str(sources.images)))
    (folder / "audit.html").write_text(page, encoding="utf-8")
    return len(drawn)


def agreement_with_people(sources: AuditSources, sheet: Path) -> dict[str, Any]:
    """Holds the judges' verdicts against a sheet that was filled in.

    Returns:
        Of `judge` (which answer is better) and `moderator` (is an answer safe): `agreement` and
        Cohen's `kappa` with their intervals, and `labels`, the counts of `person/judge`.

    Raises:
        InputError: The sheet is none, holds something else than its labels, or no label at all.
    """
    labelled = _read_sheet(sheet)
    verdicts = _Verdicts(sources.preferences)
    better: list[_Labelled] = []
    safe: list[_Labelled] = []
    for pair in read_records(sources.pairs, Pair):
        row = labelled.pop(pair.pair_id, None)
        if row is None:
            continue
        shared = (pair.image_id, pair.question)
        if row["better"] and (found := verdicts.on(pair)):
            better.append(((row["better"], found), shared))
        for said, is_safe in (
            (row["first_safe"], pair.first_safe),
            (row["second_safe"], pair.second_safe),
        ):
            if said:
                safe.append(((said, "yes" if is_safe else "no"), shared))
    if labelled:
        raise InputError(
            f"{len(labelled)} pairs of another run", str(sheet), "give the run it was made from"
        )
    if not better and not safe:
        raise InputError("no label in the sheet", str(sheet), f"fill in {', '.join(LABELS)}")
    return {"judge": _agreement(better), "moderator": _with_errors(_agreement(safe))}


class _Verdicts:
    """What the judge found on each pair."""

    def __init__(self, preferences: Path) -> None:
        columns = ["chosen_response_id", "rejected_response_id"]
        rows = read_rows(preferences, Preference, columns)
        self._won = {tuple(row[name] for name in columns) for row in rows}
        aside = read_rows(preferences / "set_asides", SetAside, ["record_id", "reason"])
        self._tied = {row["record_id"] for row in aside if row["reason"] == "tie"}

    def on(self, pair: Pair) -> str | None:
        """`first`, `second` or `tie`; None where both orders did not agree."""
        answers = pair.first_response_id, pair.second_response_id
        if answers in self._won:
            return "first"
        if answers[::-1] in self._won:
            return "second"
        return "tie" if pair.pair_id in self._tied else None


def _row(pair: Pair) -> dict[str, str]:
    texts = {"question": pair.question, "first": pair.first, "second": pair.second}
    # A cell that begins like a formula would be one in a spreadsheet.
    shown = {
        name: f"'{text}" if text.startswith(_FORMULA) else text for name, text in texts.items()
    }
    return {"pair_id": pair.pair_id, **shown}


def _page(pairs: Sequence[Pair], store: ImageStore) -> str:
    from jinja2 import Environment, StrictUndefined

    template = files("components.labeling") / "templates" / "audit.html.jinja"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["picture"] = lambda image_id: picture_uri(store, image_id, _PICTURE_PIXELS)
    return environment.from_string(template.read_text(encoding="utf-8")).render(pairs=pairs)


def _read_sheet(path: Path) -> dict[str, dict[str, str]]:
    """Rows by pair id; labels in lower case, empty where nobody has judged."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            sheet = csv.DictReader(stream)
            rows = list(sheet)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"no sheet: {error}", str(path), "give audit.csv as CSV in UTF-8"
        ) from None
    if missing := {"pair_id", *LABELS} - set(sheet.fieldnames or ()):
        raise InputError(
            f"no column {min(missing)}", str(path), "keep the columns of the sheet as they were"
        )
    return {row["pair_id"]: _labels(row, f"{path}, line {n}") for n, row in enumerate(rows, 2)}


def _labels(row: Mapping[str, str | None], where: str) -> dict[str, str]:
    labels = {name: (row[name] or "").strip().casefold() for name in LABELS}
    for name, label in labels.items():
        known = BETTER if name == "better" else SAFE
        if label and label not in known:
            raise InputError(
                f"{label!r} in column {name}", where, f"use {', '.join(known)}, or leave it empty"
            )
    return labels


def _with_errors(told: dict[str, Any]) -> dict[str, Any]:
    """A moderator's agreement with how often it finds what people call unsafe, and what safe."""
    labels = told["labels"].items()
    pairs = [(name.split("/"), n) for name, n in labels]
    errors = errors_by_labels(
        (person == "no", judge == "no") for (person, judge), n in pairs for _ in range(n)
    )
    return {**told, "errors": {"counts": asdict(errors), **errors.told()}}


def _agreement(labelled: Sequence[_Labelled]) -> dict[str, Any]:
    """Agreement of (person, judge) labels."""
    found = agreement([labels for labels, _ in labelled], [shared for _, shared in labelled])
    counts = Counter(f"{person}/{judge}" for (person, judge), _ in labelled)
    return {
        "agreement": asdict(found.raw),
        "kappa": asdict(found.kappa),
        "labels": dict(sorted(counts.items())),
    }
