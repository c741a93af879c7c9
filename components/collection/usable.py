"""Whether a folder holds any usable picture, found out before a run starts."""

from collections import Counter
from contextlib import closing
from pathlib import Path

from components.collection.decoding import READ
from components.collection.photographs import photographs
from spavl.errors import InputError
from spavl.records import Image
from spavl.settings.collection import CollectionSettings


def require_usable_picture(folder: Path, settings: CollectionSettings) -> None:
    """Look for the first usable picture.

    Raises:
        InputError: There is none; says what the files are instead.
    """
    reasons: Counter[str] = Counter()
    with closing(photographs(folder, {}, settings)) as candidates:
        for candidate in candidates:
            if isinstance(candidate, Image):
                return
            reasons[candidate.reason] += 1
    told = ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items()))
    raise InputError(
        f"no usable picture ({told or 'no files at all'})",
        str(folder),
        f"give a folder with {READ} pictures",
    )
