"""Splitting: divides preferences into training, validation and test by picture.

In: preferences. Out: three data sets; no picture is in two of them. A picture's split follows from
a seeded hash of its id alone, so adding pictures never moves another one; truths and classes are
spread over the splits in proportion as far as chance goes, and the counts are in the result. Where
a number of test items for each class is asked for, `test` holds their pictures instead, and the
items themselves are in `test/items`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from components.labeling.items import Items, Row, choose_items, item_columns
from spavl.errors import InputError
from spavl.records import EvalItem, Preference, SetAside, schema_of
from spavl.seeds import derive_seed
from spavl.settings.labeling import LabelingSettings, SplittingSettings
from spavl.shards import DatasetWriter, read_manifest, read_rows, read_tables
from spavl.work import Stage, Work, run_stage

if TYPE_CHECKING:
    import pyarrow

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
RECORDS: dict[str, type] = {
    "train": Preference,
    "validation": Preference,
    "test": Preference,
    "test/items": EvalItem,
    "train/set_asides": SetAside,
}
"""Data sets written, and what they hold."""
Writer = Callable[[str, type], DatasetWriter]


class Deciding(NamedTuple):
    """Columns of a preference that decide where it goes."""

    preference_id: str
    image_id: str
    truth: str
    rejected_safe: bool


def split_by_picture(
    settings: dict[str, Any], preferences: str, train: str, validation: str, test: str
) -> None:
    """Writes the three splits.

    Args:
        settings: Raw `LabelingSettings`.
        preferences: Data set of preferences.
        train: Output data set.
        validation: Output data set.
        test: Output data set.

    Raises:
        InputError: If a split that was asked for stays empty.
    """
    checked = LabelingSettings.parse(settings, "labeling")
    stage = Stage(
        "splitting",
        "components.labeling.splitting",
        {"seed": checked.seed, **checked.splitting.model_dump()},
        {"preferences": read_manifest(preferences).digest},
    )

    def body(work: Work) -> dict[str, Any]:
        told = split_rows(preferences, checked.splitting, checked.seed, work.writer)
        _refuse_empty(told["rows"], checked.splitting)
        return told

    run_stage(stage, body, {"train": train, "validation": validation, "test": test})


def split_of(image_id: str, settings: SplittingSettings, seed: int) -> Split:
    """The split of a picture: its hash as a number in [0, 1) against the shares."""
    place = derive_seed(seed, "split", image_id) / 2**63
    if place < settings.validation:
        return "validation"
    return "test" if place < settings.validation + settings.test else "train"


def split_rows(
    preferences: str, settings: SplittingSettings, seed: int, writer: Writer
) -> dict[str, Any]:
    """Writes the data sets `train`, `validation` and `test`, `test/items` and `train/set_asides`.

    Args:
        preferences: Data set of preferences.
        settings: Shares, and items of each class.
        seed: The run's seed.
        writer: Makes the writer of a data set, given its name and record class.

    Returns:
        Rows by split, and by split and class.
    """
    import pyarrow
    from pyarrow import compute

    items = Items()
    if settings.test_per_class:
        known = (Row(**row) for row in read_rows(preferences, Preference, Row._fields))
        items = choose_items(known, settings.test_per_class, seed)
    strata: dict[str, Counter[str]] = {place: Counter() for place in RECORDS}
    with ExitStack() as stack:
        writers = {
            place: stack.enter_context(writer(place, record)) for place, record in RECORDS.items()
        }
        for table in read_tables(preferences, Preference):
            columns = (table[name].to_pylist() for name in Deciding._fields)
            deciding = map(Deciding, *columns)
            places = pyarrow.array([place_of(row, items, settings, seed) for row in deciding])
            for place in places.unique().to_pylist():
                rows = table.filter(compute.equal(places, place))
                writers[place].add_table(_as_stored(rows, place, items))
                strata[place].update(_strata(rows))
    rows = {place: writer.rows for place, writer in writers.items()}
    return {"rows": rows, "strata": {place: dict(sorted(c.items())) for place, c in strata.items()}}


def place_of(row: Deciding, items: Items, settings: SplittingSettings, seed: int) -> str:
    """Where a preference goes: one of the keys of `RECORDS`."""
    if row.preference_id in items.benchmarks:
        return "test/items"
    if settings.drop_safe_rejected and row.rejected_safe and row.truth != "harmless":
        return "train/set_asides"
    if row.image_id in items.pictures:
        return "test"
    split = split_of(row.image_id, settings, seed)
    return "train" if split == "test" and settings.test_per_class else split


def _as_stored(preferences: "pyarrow.Table", place: str, items: Items) -> "pyarrow.Table":
    """Preferences as the records of the data set that they go to."""
    import pyarrow

    if RECORDS[place] is EvalItem:
        columns = item_columns(preferences.to_pydict(), items)
    elif RECORDS[place] is SetAside:
        ids = preferences["preference_id"]
        said = ("splitting", "rejected answer is safe", "labeling.splitting.drop_safe_rejected")
        columns = {"record_id": ids} | {
            name: [text] * len(ids)
            for name, text in zip(("stage", "reason", "detail"), said, strict=True)
        }
    else:
        return preferences
    schema = schema_of(RECORDS[place])
    return pyarrow.table({name: columns[name] for name in schema.names}, schema)


def _strata(preferences: "pyarrow.Table") -> Iterator[str]:
    """The class of each preference; its truth where it has none."""
    names = (preferences[name].to_pylist() for name in ("class3", "truth"))
    return (harm or truth for harm, truth in zip(*names, strict=True))


def _refuse_empty(rows: Mapping[str, int], settings: SplittingSettings) -> None:
    wanted = {"train": 1.0, "validation": settings.validation, "test": settings.test}
    if settings.test_per_class:
        wanted["test/items"] = wanted.pop("test")
    for place, share in wanted.items():
        if rows[place] == 0 and share > 0:
            raise InputError(
                f"no preference fell into the {place} split",
                f"labeling.splitting, rows {rows}",
                "collect more images or change the shares",
            )
