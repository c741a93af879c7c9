"""All published benchmarks of one folder."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from components.evaluation.items import Asked, Missing
from components.evaluation.published import (
    adv_bench,
    anthropic_helpful,
    fig_step,
    mm_safety_bench,
    moss_bench,
    spa_vl_test,
    xs_test,
)
from spavl.errors import InputError
from spavl.records import LabelledAnswer
from spavl.settings.evaluation import PublishedSettings
from spavl.storage import local_copy

FOLDERS = (
    "advbench", "xstest", "mm-safetybench", "figstep", "mossbench", "spa-vl", "anthropic-helpful",
)  # fmt: skip


def published_items(settings: PublishedSettings) -> Iterator[Asked | Missing]:
    """The items of every benchmark that is there, and what is missing.

    Raises:
        InputError: If the folder holds none of them, or a file is not as published.
    """
    root, tiny = require_published(settings), settings.subset == "tiny"
    found = chain(
        adv_bench.read(root / "advbench", suffix_of(settings)),
        xs_test.read(root / "xstest"),
        mm_safety_bench.read(root / "mm-safetybench", tiny),
        fig_step.read(root / "figstep", tiny),
        moss_bench.read(root / "mossbench"),
        spa_vl_test.read(root / "spa-vl"),
        anthropic_helpful.read(root / "anthropic-helpful"),
    )
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
    if not any((root / name).is_dir() for name in FOLDERS):
        raise InputError(
            "no published benchmark",
            f"evaluation.published.folder: {settings.folder}",
            f"give a folder that holds some of {', '.join(FOLDERS)}",
        )
    return root


def suffix_of(settings: PublishedSettings) -> Path | None:
    """The file with AdvBench's suffix that the settings name.

    Raises:
        InputError: If it is not there or holds no text.
    """
    if settings.suffix_file is None:
        return None
    path = local_copy(settings.suffix_file)
    if not path.is_file() or not path.read_bytes().strip():
        raise InputError(
            "no suffix",
            f"evaluation.published.suffix_file: {settings.suffix_file}",
            "give a text file that holds the attack's suffix",
        )
    return path


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
