"""Files of a published data set: where they lie, and their rows as ours."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spavl.addresses import require_known
from spavl.errors import InputError
from spavl.published.cells import read_cells, shape_of
from spavl.published.layouts import LAYOUTS, SPA_VL, Layout, recognised
from spavl.published.pictures import NAMES, BadRowError, picture_of, require_pictures
from spavl.published.rows import TEXTS, Row, Split
from spavl.storable import text_of

ENDINGS = (".json", ".jsonl", ".parquet")
WORDS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "evaluation", "eval"),
    "held_out": ("test",),
    "harm": ("harm",),
    "help": ("help",),
}
"""Words of a file's name by which its split is known; `held_out` says it itself."""
OTHERS = re.compile(r"dataset_infos?|config.*|croissant|.*index")
"""Names of files beside the rows."""
ITEMS: tuple[Split, ...] = ("harm", "help")


def local_folder(place: str) -> Path:
    """The folder of a published data set, or one file; one of the hub (`hub:owner/name`) is
    fetched.

    Raises:
        InputError: There is no such folder, or the hub does not give it.
    """
    if not place.startswith("hub:"):
        folder = Path(require_known(place, "address").removeprefix("file://"))
        if not folder.exists():
            raise InputError("no such folder", place, "give a published data set's folder")
        return folder
    from huggingface_hub import snapshot_download

    owner, name, *below = place.removeprefix("hub:").split("/", 2)
    try:
        folder = Path(snapshot_download(f"{owner}/{name}", repo_type="dataset"))
    except Exception as error:  # the hub's errors, the network's, and those of its own cache
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"the hub does not give it: {reason}", place, "fetch it yourself and give its folder"
        ) from None
    return folder.joinpath(*below)


def files_of(folder: Path, split: Split) -> list[Path]:
    """The files of a split, in the folder or below: those whose name has its word, e.g.
    `train.json` or `hardq_train.jsonl` or `train-00000-of-00008.parquet`.

    Where no name has any split's word, all are of `train`; so is a file that is given itself.
    """
    if not folder.is_dir():
        return [folder] if split == "train" else []
    every = sorted(path for path in folder.rglob("*") if _may_hold_rows(path, folder))
    found = [path for path in every if _split_of(path) == split]
    if split == "train" and not any(map(_split_of, every)):
        return every
    return found


def _may_hold_rows(path: Path, folder: Path) -> bool:
    above = path.relative_to(folder).parts[:-1]
    hidden = any(part.startswith(".") or part == "meta_files" for part in above)
    return path.suffix in ENDINGS and not hidden and not OTHERS.fullmatch(path.stem)


def _split_of(path: Path) -> Split | None:
    words = {*re.split(r"[^a-z]+", path.stem.lower())}
    if {"held", "out"} <= words:
        return "held_out"
    return next((split for split, known in WORDS.items() if words & {*known}), None)


def layout_of(path: Path, split: Split, named: str | None = None) -> Layout:
    """The layout of a file.

    Raises:
        InputError: See `recognised`.
    """
    shape = shape_of(path)
    if not shape:
        raise InputError("no rows", str(path), "fetch it again")
    if split in ITEMS and named is None:
        if SPA_VL.lacks({"chosen": "text", "rejected": "text", **shape}):
            return recognised({}, SPA_VL.name, str(path))
        layout = SPA_VL
    else:
        layout = recognised(shape, named, str(path))
    require_pictures([*shape], path, layout.reads)
    return layout


def read_rows(path: Path, split: Split, named: str | None = None) -> Iterator[Row | BadRowError]:
    """The rows of a file, in order, and why others are none; memory does not grow with their
    number.

    Args:
        path: The file.
        split: Where its rows belong.
        named: Its layout; None to find it.

    Raises:
        InputError: The file is broken, of no layout, or holds no column of pictures.
    """
    layout = layout_of(path, split, named)
    for cells in read_cells(path, (*NAMES, *layout.needs, *layout.reads)):
        try:
            yield from _rows(cells, layout, split, path)
        except BadRowError as bad:
            yield bad


def _rows(
    cells: Mapping[str, Any] | None, layout: Layout, split: Split, path: Path
) -> Iterator[Row]:
    if cells is None:
        raise BadRowError("a row without columns")
    every = [*layout.read({column: _as_text(column, cell) for column, cell in cells.items()})]
    place = next((cells[name] for name in NAMES if name in cells), None)
    name, content = picture_of(place, path)
    for each in every:
        yield _row(each, name, content, split)


def _row(cells: Mapping[str, Any], name: str, content: bytes, split: Split) -> Row:
    texts = {column: _text(cells, column) for column in TEXTS}
    belongs: Split | None = cells.get("split")
    needed = ("question",) if (belongs or split) in ITEMS else ("question", "chosen", "rejected")
    if missing := [column for column in needed if texts[column] is None]:
        raise BadRowError(f"no {missing[0]} in this row")
    named = cells.get("image_name")
    if isinstance(named, int) and not isinstance(named, bool):
        named = str(named) if named else None
    if not isinstance(named, str | bytes | None):
        raise BadRowError("an image_name that is no text")
    called = text_of(named) or text_of(name) or "picture"
    return Row(content, called, **texts, split=belongs)  # type: ignore[arg-type]


def _as_text(column: str, cell: Any) -> Any:
    """A cell as a layout reads it: Parquet's texts come as bytes, as pictures do."""
    return text_of(cell) if isinstance(cell, bytes) and column not in NAMES else cell


def _text(cells: Mapping[str, Any], name: str) -> str | None:
    text = cells.get(name)
    if not isinstance(text, str | bytes | None):
        raise BadRowError("a column that is no text", name)
    empty = text is None or (not text and name not in ("question", "chosen", "rejected"))
    return None if empty else text_of(text)


def named_layout(name: str | None) -> str | None:
    """The layout of that name.

    Raises:
        InputError: There is none.
    """
    if name is not None and name not in LAYOUTS:
        raise InputError(f"no layout {name}", "--layout", f"name one of {', '.join(LAYOUTS)}")
    return name
