"""Overlap between the splits of an imported data set: told, and mended where that is asked for.

A picture overlaps if it, or one that a person takes for the same, is in another split; a row does
if its question and chosen answer are in another split word for word. What trains gives way to what
watches, and both to what tests: test preferences and test items are one split here.
"""

import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from components.collection.closeness import Closeness
from spavl.records import EvalItem, Image, Preference, SetAside
from spavl.shards import (
    MANIFEST,
    DatasetWriter,
    read_manifest,
    read_records,
    read_rows,
    read_tables,
)

SPLITS = ("test", "validation", "train")
"""A row stays in the first of these that has it."""
ITEMS, ASIDE = "test/items", "images/set_asides"
PRINTS = "thumbnails.bin"
EXACT, NEAR, TEXT = "same picture", "near-duplicate picture", "same question and answer"


@dataclass
class Overlap:
    """What two splits have in common.

    Attributes:
        pictures: Pictures of the later split that overlap, by the two splits and how.
        rows: Rows that give way, by the same.
        giving_way: For each split, ids of its rows that give way, and why.
    """

    pictures: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    rows: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    giving_way: dict[str, dict[str, str]] = field(
        default_factory=lambda: {split: {} for split in SPLITS}
    )


def find_overlap(folder: Path, closeness: Closeness | None = None) -> Overlap:
    """Looks for overlap.

    Args:
        folder: An imported data set.
        closeness: When two pictures count as the same.
    """
    held = {split: _pictures(folder, split) for split in SPLITS}
    near = _near(folder, held, closeness or Closeness())
    overlap, texts = Overlap(), dict[bytes, str]()
    for place, split in enumerate(SPLITS):
        earlier = SPLITS[:place]
        shown = {each: _shown(each, held, near, earlier) for each in held[split]}
        for found in filter(None, shown.values()):
            overlap.pictures[split, *found] += 1
        for row in _rows(folder, split):
            key = _key(row["question"], row["chosen"])
            found = shown[row["image_id"]]
            if found is None and texts.get(key, split) != split:
                found = texts[key], TEXT
            texts.setdefault(key, split)
            if found is not None:
                overlap.rows[split, *found] += 1
                overlap.giving_way[split][row["preference_id"]] = f"{found[1]} in {found[0]}"
    return overlap


def drop_overlap(folder: Path, overlap: Overlap) -> int:
    """Takes the rows that give way out of their splits and sets them aside; gives their number."""
    dropped = []
    for split, giving_way in overlap.giving_way.items():
        if giving_way:
            _copy(folder / split, Preference, giving_way)
            dropped += [
                SetAside(row, "import", f"overlap: {why}", split) for row, why in giving_way.items()
            ]
    if dropped:
        _copy(folder / ASIDE, SetAside, (), dropped)
    return len(dropped)


def _shown(
    image_id: str,
    held: Mapping[str, Collection[str]],
    near: Mapping[str, Collection[str]],
    earlier: tuple[str, ...],
) -> tuple[str, str] | None:
    """The earlier split that a picture is in, and whether it is the same or near."""
    for split in earlier:
        if image_id in held[split]:
            return split, EXACT
    for split in earlier:
        if any(other in held[split] for other in near.get(image_id, ())):
            return split, NEAR
    return None


def _pictures(folder: Path, split: str) -> set[str]:
    found: set[str] = set()
    places = [(split, Preference)] + ([(ITEMS, EvalItem)] if split == "test" else [])
    for place, record in places:
        if (folder / place / MANIFEST).is_file():
            for table in read_tables(folder / place, record, ["image_id"]):
                found.update(table["image_id"].drop_null().to_pylist())
    return found


def _rows(folder: Path, split: str) -> Iterator[dict[str, Any]]:
    columns = ["preference_id", "image_id", "question", "chosen"]
    return read_rows(folder / split, Preference, columns, verify=False)


def _key(question: str, answer: str) -> bytes:
    """Question and answer as they are compared: in small letters, one blank between words."""
    texts = (" ".join(text.lower().split()) for text in (question, answer))
    return sha256("\0".join(texts).encode()).digest()[:16]


def _near(
    folder: Path, held: Mapping[str, Collection[str]], closeness: Closeness
) -> dict[str, list[str]]:
    """Pictures near others; none where fewer than two splits have pictures."""
    if sum(map(bool, held.values())) < 2:
        return {}
    import numpy as np

    from components.collection.fingerprints import PrintFile
    from components.collection.near_duplicates import verified_pairs

    ids: list[str] = []
    file = folder / PRINTS
    try:
        with PrintFile(file) as prints:
            for row in read_rows(folder / "images", Image, ["image_id", "content"], verify=False):
                ids.append(row["image_id"])
                prints.add(row["content"])
        labels = np.zeros(len(ids), np.int64)
        pairs = verified_pairs(prints.hashes(), prints.thumbs(), labels, closeness)
    finally:
        file.unlink(missing_ok=True)
    near: dict[str, list[str]] = {}
    for one, other in pairs.tolist():
        near.setdefault(ids[one], []).append(ids[other])
        near.setdefault(ids[other], []).append(ids[one])
    return near


def _copy(
    folder: Path, record: type, without: Collection[str], added: Collection[SetAside] = ()
) -> None:
    """Writes a data set anew without some preferences, or with more set aside."""
    manifest, new = read_manifest(folder), folder.with_name(f"{folder.name}.new")
    with DatasetWriter(new, record, manifest.made_by, manifest.inputs) as writer:
        for each in read_records(folder, record):
            if getattr(each, "preference_id", None) not in without:
                writer.add(each)
        for aside in added:
            writer.add(aside)
    for below in folder.iterdir():
        if below.is_dir():
            below.rename(new / below.name)
    shutil.rmtree(folder)
    new.rename(folder)
