"""What evaluation needs before a run begins: the suites' files, and the figures of the gate."""

from pathlib import Path

from components.evaluation.items import Missing
from components.evaluation.metrics import METRICS, TABLE_COLUMNS, Metric, told_metrics
from components.evaluation.published import Published, benchmarks_of, require_published, suffix_of
from spavl.errors import InputError
from spavl.settings.evaluation import EvaluationSettings, PublishedSettings
from spavl.settings.gate import GateSettings
from spavl.storage import local_copy

FOLDER = "evaluation.published.folder"
USUAL = "/data/benchmarks"


def require_files(evaluation: EvaluationSettings, gate: GateSettings) -> None:
    """Check that the published suite, where it is asked, has the files that the gate goes by.

    What other benchmarks lack is told in the run.

    Raises:
        InputError: Says what is missing, from where it is had, and into which folder it goes.
    """
    if "published" in evaluation.asked:
        known = figures_of(evaluation)
        wanted = {each.benchmark for each in known if each.key in gate.metrics}
        _require_files(evaluation.published, wanted)


def require_figures(evaluation: EvaluationSettings, gate: GateSettings) -> None:
    """Check that every figure that the gate goes by is made of a suite that is asked.

    Raises:
        InputError: Names the figure.
    """
    for role, figure in gate.roles.items():
        _require_figure(role, figure, evaluation)


def needs_held_out(gate: GateSettings) -> bool:
    """Whether the gate goes by the data set's own test items."""
    return any(known.suite == "held_out" for known in METRICS if known.key in gate.metrics)


def figures_of(evaluation: EvaluationSettings) -> list[Metric]:
    """All figures that the suites may have, those of tables among them."""
    settings = evaluation.published
    tables = [each for each in benchmarks_of(settings) if each.table] if settings else []
    columns = {name: TABLE_COLUMNS for each in tables for name in each.benchmarks}
    return told_metrics(evaluation.asked, "published" in evaluation.asked, columns)


def _require_figure(role: str, key: str, evaluation: EvaluationSettings) -> None:
    asked = [each for each in figures_of(evaluation) if each.suite in evaluation.asked]
    if any(each.key == key for each in asked):
        return
    told = ", ".join(each.key for each in asked)
    other = next((each for each in METRICS if each.key == key), None)
    if other is None:
        raise InputError(f"no figure {key}", f"gate.{role}", f"name one of {told}")
    raise InputError(
        f"the gate goes by {key}, of the suite {other.suite}, which is not asked",
        f"gate.{role}",
        f"name one of {told}, or add {other.suite} to evaluation.suites",
    )


def _require_files(settings: PublishedSettings | None, benchmarks: set[str]) -> None:
    known = settings or PublishedSettings(folder=USUAL)
    suffix_of(known)
    root = local_copy(known.folder)
    had = benchmarks_of(known)
    for each in had:
        each.require_tables(root)
    lacking = [
        (each, what)
        for each in had
        if (wanted := benchmarks & {*each.benchmarks})
        and (what := _lacking(each, wanted, root, known))
    ]
    if settings and not lacking:
        require_published(settings)
        return
    fetches = [
        f"fetch {each.title} from {each.source} into {known.folder.rstrip('/')}/{each.folder}/"
        for each, _ in lacking
    ]
    told = ", ".join(what for _, what in lacking) or "none"
    raise InputError(
        f"no published benchmarks that the gate goes by: {told}",
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
