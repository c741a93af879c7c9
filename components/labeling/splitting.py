"""Splitting: divides preferences into training, validation and test by picture.

In: preferences. Out: three data sets; no picture is in two of them. A picture's split follows from
a seeded hash of its id alone, so adding pictures never moves another one; truths and classes are
spread over the splits in proportion as far as chance goes, and the counts are in the result.
"""

from collections import Counter
from contextlib import ExitStack
from typing import Any, Literal

from spavl.errors import InputError
from spavl.records import Preference
from spavl.seeds import derive_seed
from spavl.settings.labeling import LabelingSettings, SplittingSettings
from spavl.shards import read_manifest, read_records
from spavl.work import Stage, Work, run_stage

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


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
    run_stage(
        stage,
        lambda work: _body(work, checked.splitting, checked.seed, preferences),
        {"train": train, "validation": validation, "test": test},
    )


def split_of(image_id: str, settings: SplittingSettings, seed: int) -> Split:
    """The split of a picture: its hash as a number in [0, 1) against the shares."""
    place = derive_seed(seed, "split", image_id) / 2**63
    if place < settings.validation:
        return "validation"
    return "test" if place < settings.validation + settings.test else "train"


def _body(work: Work, settings: SplittingSettings, seed: int, preferences: str) -> dict[str, Any]:
    strata: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    with ExitStack() as stack:
        writers = {split: stack.enter_context(work.writer(split, Preference)) for split in SPLITS}
        for preference in read_records(preferences, Preference):
            split = split_of(preference.image_id, settings, seed)
            writers[split].add(preference)
            strata[split][preference.class3 or preference.truth] += 1
    rows = {split: writer.rows for split, writer in writers.items()}
    _refuse_empty(rows, settings)
    return {"rows": rows, "strata": {split: dict(sorted(c.items())) for split, c in strata.items()}}


def _refuse_empty(rows: dict[Split, int], settings: SplittingSettings) -> None:
    wanted = {"train": 1.0, "validation": settings.validation, "test": settings.test}
    for split, count in rows.items():
        if count == 0 and wanted[split] > 0:
            raise InputError(
                f"no preference fell into the {split} split",
                f"labeling.splitting, rows {rows}",
                "collect more images or change the shares",
            )
