"""What a pod's mounted ConfigMap and Secrets say, as environment variables.

A ConfigMap as environment entries stands six times in a workflow's status for every task, and an
entry of a name that KFP sets too makes the pod's specification invalid. Mounted it is one line.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

MOUNTED = Path("/etc/spa-vl")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


def load_pod_environment(mounted: Path = MOUNTED) -> None:
    """Set each variable that a mounted file names and that is not set already.

    Args:
        mounted: Holds `environment/<KEY>` and `secrets/<name>/<KEY>`; nothing happens without it.
    """
    for folder in (mounted / "environment", *_folders(mounted / "secrets")):
        for name, value in _variables(folder):
            os.environ.setdefault(name, value)


def missing(keys: Iterable[str]) -> list[str]:
    """The variables of these that are neither set nor were mounted."""
    return [key for key in keys if not os.environ.get(key)]


def _folders(parent: Path) -> list[Path]:
    return sorted(each for each in parent.iterdir() if each.is_dir()) if parent.is_dir() else []


def _variables(folder: Path) -> Iterator[tuple[str, str]]:
    """A volume's keys are links beside `..data`, which no variable's name resembles."""
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if _VARIABLE.fullmatch(file.name) and file.is_file():
            yield file.name, file.read_text().removesuffix("\n")
