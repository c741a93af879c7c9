"""What evaluation needs before a run begins: the suites' files, and the figures of the gate."""

from collections.abc import Iterable
from pathlib import Path

from components.evaluation.items import Missing
from components.evaluation.metrics import METRICS
from components.evaluation.published import Published, benchmarks_of, require_published, suffix_of
from spavl.errors import InputError
from spavl.settings.evaluation import EvaluationSettings, PublishedSettings
from spavl.settings.gate import GateSettings
from spavl.storage import local_copy

ROLES = ("harm", "help", "over_refusal", "general_ability")
FOLDER = "evaluation.published.folder"
USUAL = "/data/benchmarks"


def require_files(evaluation: EvaluationSettings, gate: GateSettings) -> None:
    """Check that the published suite, where it is asked, has the files that the gate goes by.

    What other benchmarks lack is told in the run.

    Raises:
        InputError: Says what is missing, from where it is had, and into which folder it goes.
    """
    if "published" in evaluation.asked:
        wanted = {each.benchmark for each in METRICS if each.key in gate.metrics}
        _require_files(evaluation.published, wanted)


def require_figures(evaluation: EvaluationSettings, gate: GateSettings) -> None:
    """Check that every figure that the gate goes by is made of a suite that is asked.

    Raises:
        InputError: Names the figure.
    """
    for role in ROLES:
        _require_figure(role, getattr(gate, role), evaluation)


def needs_held_out(gate: GateSettings) -> bool:
    """Whether the gate goes by the data set's own test items."""
    return any(known.suite == "held_out" for known in METRICS if known.key in gate.metrics)


def _require_figure(role: str, key: str, evaluation: EvaluationSettings) -> None:
    metric = next((each for each in METRICS if each.key == key), None)
    if metric is None:
        raise InputError(
            f"no figure {key}", f"gate.{role}", f"name one of {_keys(evaluation.asked)}"
        )
    if metric.suite not in evaluation.asked:
        raise InputError(
            f"the gate goes by {key}, of the suite {metric.suite}, which is not asked",
            f"gate.{role}",
            f"name one of {_keys(evaluation.asked)}, or add {metric.suite} to evaluation.suites",
        )


def _keys(suites: Iterable[str]) -> str:
    return ", ".join(each.key for each in METRICS if each.suite in suites)


def _require_files(settings: PublishedSettings | None, benchmarks: set[str]) -> None:
    known = settings or PublishedSettings(folder=USUAL)
    suffix_of(known)
    root = local_copy(known.folder)
    lacking = {
        each: what
        for each in benchmarks_of(known)
        if (wanted := benchmarks & {*each.benchmarks})
        and (what := _lacking(each, wanted, root, known))
    }
    if settings and not lacking:
        require_published(settings)
        return
    fetches = [
        f"fetch {each.title} from {each.source} into {known.folder.rstrip('/')}/{each.folder}/"
        for each in lacking
    ]
    raise InputError(
        f"no published benchmarks that the gate goes by: {', '.join(lacking.values()) or 'none'}",
        f"{FOLDER}: {known.folder}" if settings else FOLDER,
        ", ".join([*fetches, "or name another folder"]),
    )


def _lacking(each: Published, wanted: set[str], root: Path, settings: PublishedSettings) -> str:
    """What a folder lacks before a benchmark has any item; empty where it has some."""
    what = ""
    for found in each.read(root, settings):
        if isinstance(found, Missing):
            what = found.what
        elif found.items[0].benchmark in wanted:
            return ""
    return what or f"items in {each.folder}/"
