"""The user's files that collection set aside: how many, why, and which."""

from collections import Counter
from typing import Any

from components.reporting.files import local_path
from spavl.records import Image, SetAside
from spavl.shards import read_rows

COLUMNS = ("record_id", "reason", "detail")
NAMED_PER_REASON = 50
DUPLICATES = ("duplicate", "near-duplicate")
OF_POCKET = "pocket near-duplicate"
"""The one reason that never speaks of a file."""
JOINS_EMOJI = "\u200d"


def file_quarantine(images: str) -> dict[str, Any]:
    """What became of the user's files.

    Args:
        images: The image store, with the data set of what was set aside in its `set_asides`.

    Returns:
        `given`, `used` and `set_aside` count files; `reasons` maps a reason to its count `n` and
        to `files`, the first of them by `name` and `detail`.
    """
    folder = local_path(images)
    used = sum(row["thing"] is None for row in read_rows(folder, Image, ["thing"], verify=False))
    counts: Counter[str] = Counter()
    files: dict[str, list[dict[str, str]]] = {}
    if (folder / "set_asides").is_dir():
        for row in read_rows(folder / "set_asides", SetAside, COLUMNS, verify=False):
            reason = row["reason"]
            if reason == OF_POCKET:
                continue
            counts[reason] += 1
            if counts[reason] <= NAMED_PER_REASON:
                files.setdefault(reason, []).append(
                    {"name": row["record_id"], "detail": row["detail"]}
                )
    reasons = {name: {"n": counts[name], "files": files[name]} for name in sorted(counts)}
    return {
        "given": used + counts.total(),
        "used": used,
        "set_aside": counts.total(),
        "reasons": reasons,
    }


def quarantine_line(quarantine: dict[str, Any]) -> str:
    """One line for a terminal; empty where no file was set aside."""
    if not quarantine["set_aside"]:
        return ""
    reasons = quarantine["reasons"]
    duplicates = sum(reasons[name]["n"] for name in DUPLICATES if name in reasons)
    told = f" ({duplicates} of them as duplicates)" if duplicates else ""
    return f"{quarantine['set_aside']} of {quarantine['given']} files set aside{told}: see report."


def visible(text: str) -> str:
    """A name with what would not be seen (line ends, marks that turn text round) written out."""
    return "".join(
        letter
        if letter.isprintable() or letter == JOINS_EMOJI
        else letter.encode("unicode_escape").decode()
        for letter in text
    )
