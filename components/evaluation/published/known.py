"""The published benchmarks that are known: where each lies, who reads it, where it is had."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from components.evaluation.items import Asked, Missing
from components.evaluation.published import (
    adv_bench,
    anthropic_helpful,
    fig_step,
    mm_safety_bench,
    moss_bench,
    spa_vl_test,
    table_items,
    xs_test,
)
from components.evaluation.published.descriptions import OWN, Description, own, shipped
from spavl.errors import InputError
from spavl.settings.evaluation import PublishedSettings
from spavl.storage import local_copy

Reader = Callable[[Path, PublishedSettings], Iterator[Asked | Missing]]


@dataclass(frozen=True)
class Published:
    """A published benchmark.

    Attributes:
        title: Its name for people.
        folder: Its folder's name.
        benchmarks: What its items call it.
        source: Where its files are had.
        reader: Reads the folder.
        table: How it is read, where it is a table.
    """

    title: str
    folder: str
    benchmarks: tuple[str, ...]
    source: str
    reader: Reader
    table: Description | None = None

    def read(self, root: Path, settings: PublishedSettings) -> Iterator[Asked | Missing]:
        """Its items in a folder of benchmarks, and what is missing there."""
        return self.reader(root / self.folder, settings)

    def require_tables(self, root: Path) -> None:
        """Look into its tables, where it has any, before a long run does.

        Raises:
            InputError: If one cannot be read.
        """
        if self.table:
            table_items.look_into(self.table, root / self.folder)


def benchmarks_of(settings: PublishedSettings) -> tuple[Published, ...]:
    """All that may lie in a folder of published benchmarks, the user's own that do among them.

    Raises:
        InputError: If a description is wrong, or has a name that another benchmark has.
    """
    known = (*_CODED, *_shipped())
    names = {name for each in known for name in each.benchmarks}
    mine = tuple(_described(each) for each in own(local_copy(settings.folder)))
    for each in mine:
        name = each.benchmarks[0]
        if name in names:
            raise InputError(
                f"a benchmark named {name}, as another is",
                f"{settings.folder.rstrip('/')}/{each.folder}/{OWN}",
                "choose another name",
            )
        names.add(name)
    return (*known, *mine)


@lru_cache(maxsize=1)
def _shipped() -> tuple[Published, ...]:
    return tuple(_described(each) for each in shipped())


def _described(description: Description) -> Published:
    def reader(folder: Path, _: PublishedSettings) -> Iterator[Asked | Missing]:
        return table_items.read(description, folder)

    name, folder = (description.name,), description.folder
    return Published(description.title, folder, name, description.source, reader, description)


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


def _tiny(settings: PublishedSettings) -> bool:
    return settings.subset == "tiny"


_CODED = (
    Published(
        "AdvBench",
        "advbench",
        (adv_bench.BENCHMARK,),
        "https://github.com/llm-attacks/llm-attacks (data/advbench)",
        lambda folder, settings: adv_bench.read(folder, suffix_of(settings)),
    ),
    Published(
        "XSTest",
        "xstest",
        (xs_test.BENCHMARK, xs_test.HELP),
        "https://github.com/paul-rottger/xstest",
        lambda folder, _: xs_test.read(folder),
    ),
    Published(
        "MM-SafetyBench",
        "mm-safetybench",
        (mm_safety_bench.BENCHMARK,),
        "https://github.com/isXinLiu/MM-SafetyBench",
        lambda folder, settings: mm_safety_bench.read(folder, _tiny(settings)),
    ),
    Published(
        "FigStep",
        "figstep",
        (fig_step.BENCHMARK,),
        "https://github.com/ThuCCSLab/FigStep",
        lambda folder, settings: fig_step.read(folder, _tiny(settings)),
    ),
    Published(
        "MOSSBench",
        "mossbench",
        (moss_bench.BENCHMARK,),
        "https://huggingface.co/datasets/AIcell/MOSSBench",
        lambda folder, _: moss_bench.read(folder),
    ),
    Published(
        "SPA-VL's test sets",
        "spa-vl",
        tuple(benchmark for benchmark, _ in spa_vl_test.SPLITS.values()),
        "https://huggingface.co/datasets/sqrti/SPA-VL",
        lambda folder, _: spa_vl_test.read(folder),
    ),
    Published(
        "Anthropic-Helpful",
        "anthropic-helpful",
        (anthropic_helpful.BENCHMARK,),
        "https://huggingface.co/datasets/Anthropic/hh-rlhf (helpful-base/test.jsonl.gz)",
        lambda folder, _: anthropic_helpful.read(folder),
    ),
)
