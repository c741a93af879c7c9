"""All published benchmarks of one folder."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from components.evaluation.items import Asked, Missing
from components.evaluation.published import xs_test
from components.evaluation.published.known import benchmarks_of
from spavl.errors import InputError
from spavl.records import LabelledAnswer
from spavl.settings.evaluation import PublishedSettings
from spavl.storage import local_copy


def published_items(settings: PublishedSettings) -> Iterator[Asked | Missing]:
    """The items of every benchmark that is there, and what is missing.

    Raises:
        InputError: If the folder holds none of them, or a file is not as published.
    """
    root = require_published(settings)
    found = chain.from_iterable(each.read(root, settings) for each in benchmarks_of(settings))
    return found if settings.most is None else _first(found, settings.most)


def labelled_answers(settings: PublishedSettings) -> Iterator[LabelledAnswer]:
    """Answers that people have judged, of the benchmarks that publish some."""
    return xs_test.read_labels(require_published(settings) / "xstest")


def require_published(settings: PublishedSettings) -> Path:
    """The folder, checked.

    Raises:
        InputError: If it is not there or holds no published benchmark.
    """
    root = local_copy(settings.folder)
    folders = dict.fromkeys(each.folder for each in benchmarks_of(settings))
    if not any((root / name).is_dir() for name in folders):
        raise InputError(
            "no published benchmark",
            f"evaluation.published.folder: {settings.folder}",
            f"give a folder that holds some of {', '.join(folders)}",
        )
    return root


def _first(found: Iterator[Asked | Missing], most: int) -> Iterator[Asked | Missing]:
    """The first items of every column, and whatever is missing."""
    taken: Counter[tuple[str, str | None]] = Counter()
    for each in found:
        if isinstance(each, Missing):
            yield each
            continue
        column = (each.items[0].benchmark, each.items[0].kind)
        taken[column] += 1
        if taken[column] <= most:
            yield each
