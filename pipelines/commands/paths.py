"""Paths as a person reads and writes them."""

from pathlib import Path

from spavl.addresses import require_known


def shown_path(path: Path) -> str:
    """A path as short as it can be from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def absolute_path(path: Path) -> Path:
    """A path that means the same from any folder.

    Raises:
        InputError: It is an address, or the working folder is gone.
    """
    return Path(require_known(str(path), "address")).absolute()


def absolute_address(place: str) -> str:
    """An address that means the same from any folder; empty stays empty."""
    if not place or "://" in require_known(place, "address"):
        return place
    return str(Path(place).expanduser().absolute())
