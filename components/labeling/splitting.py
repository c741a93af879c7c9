"""Splitting: divides preferences into training, validation and test by picture.

In: preferences. Out: three data sets; no picture is in two of them. A picture's split follows from
a seeded hash of its id alone, so adding pictures never moves another one; truths and classes are
spread over the splits in proportion as far as chance goes, and the counts are in the result. Where
a number of test items for each class is asked for, `test` holds their pictures instead, and the
items themselves are in `test/items`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from components.labeling.items import Items, Row, choose_items, item_table
from spavl.columns import derived_seeds
from spavl.errors import InputError
from spavl.records import EvalItem, Preference, SetAside, schema_of
from spavl.settings.labeling import LabelingSettings, SplittingSettings
from spavl.shards import DatasetWriter, read_manifest, read_tables
from spavl.work import Stage, Work, run_stage, stage_uri

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
ITEMS = "test/items"
RECORDS: dict[str, type] = {
    "train": Preference,
    "validation": Preference,
    "test": Preference,
    "test/items": EvalItem,
    "train/set_asides": SetAside,
}
"""Data sets written, and what they hold."""
Writer = Callable[[str, type], DatasetWriter]


class HeldOut(NamedTuple):
    """Where the test items lie, of which there may be none, and their manifest's digest."""

    items_uri: str
    items_digest: str


DECIDING = ("preference_id", "image_id", "truth", "rejected_safe")
"""Columns of a preference that decide where it goes."""


def split_by_picture(
    settings: dict[str, Any], preferences: str, train: str, validation: str, test: str
) -> HeldOut:
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
        return {**told, "items_digest": read_manifest(work.folder / ITEMS).digest}

    result = run_stage(stage, body, {"train": train, "validation": validation, "test": test})
    return HeldOut(f"{stage_uri(stage)}/{ITEMS}", result["items_digest"])


def splits_of(
    pictures: "pyarrow.ChunkedArray", settings: SplittingSettings, seed: int
) -> "npt.NDArray[np.str_]":
    """The split of each picture: its hash as a number in [0, 1) against the shares.

    Args:
        pictures: Their ids, `[rows]`.
        settings: The shares.
        seed: The run's seed.
    """
    place = derived_seeds(seed, "split", pictures) / 2**63
    shares = [place < settings.validation, place < settings.validation + settings.test]
    return np.select(shares, ["validation", "test"], "train")


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
    items = Items()
    if settings.test_per_class:
        known = read_tables(preferences, Preference, Row._fields)
        items = choose_items(known, settings.test_per_class, seed)
    strata: dict[str, Counter[str]] = {place: Counter() for place in RECORDS}
    with ExitStack() as stack:
        writers = {
            place: stack.enter_context(writer(place, record)) for place, record in RECORDS.items()
        }
        checked = bool(settings.test_per_class)  # while the items were chosen
        for table in read_tables(preferences, Preference, verify=not checked):
            places = places_of(table, items, settings, seed)
            for place in np.unique(places).tolist():
                rows = table.filter(places == place)
                writers[place].add_table(_as_stored(rows, place, items))
                strata[place].update(_strata(rows))
    rows = {place: writer.rows for place, writer in writers.items()}
    return {"rows": rows, "strata": {place: dict(sorted(c.items())) for place, c in strata.items()}}


def places_of(
    preferences: "pyarrow.Table", items: Items, settings: SplittingSettings, seed: int
) -> "npt.NDArray[np.str_]":
    """Where preferences go: keys of `RECORDS`.

    Args:
        preferences: The columns `DECIDING`, `[rows]`.
        items: The test items.
        settings: Shares, and what is dropped.
        seed: The run's seed.
    """
    splits = splits_of(preferences["image_id"], settings, seed)
    if settings.test_per_class:
        splits[splits == "test"] = "train"
    dropped = np.zeros(len(splits), np.bool_)
    if settings.drop_safe_rejected:
        harmless = _among(preferences["truth"], ["harmless"])
        dropped = preferences["rejected_safe"].to_numpy() & ~harmless
    is_item = _among(preferences["preference_id"], items.benchmarks)
    held_out = _among(preferences["image_id"], items.pictures)
    places = ["test/items", "train/set_asides", "test"]
    return np.select([is_item, dropped, held_out], places, splits)


def _among(column: "pyarrow.ChunkedArray", values: Iterable[str]) -> "npt.NDArray[np.bool_]":
    """Whether each value of a column of text is one of some."""
    import pyarrow
    from pyarrow import compute

    found: npt.NDArray[np.bool_] = compute.is_in(
        column, pyarrow.array(list(values), pyarrow.string())
    ).to_numpy()
    return found


def _as_stored(preferences: "pyarrow.Table", place: str, items: Items) -> "pyarrow.Table":
    """Preferences as the records of the data set that they go to."""
    import pyarrow

    if RECORDS[place] is EvalItem:
        return item_table(preferences, items)
    if RECORDS[place] is not SetAside:
        return preferences
    ids = preferences["preference_id"]
    said = ("splitting", "rejected answer is safe", "labeling.splitting.drop_safe_rejected")
    columns = [ids, *([text] * len(ids) for text in said)]
    return pyarrow.table(columns, schema=schema_of(SetAside))


def _strata(preferences: "pyarrow.Table") -> dict[str, int]:
    """How many preferences are of each class; of their truth where they have none."""
    from pyarrow import compute

    strata = compute.coalesce(preferences["class3"], preferences["truth"])
    return {each["values"]: each["counts"] for each in compute.value_counts(strata).to_pylist()}


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
