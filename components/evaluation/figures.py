"""From scores to figures: rates with intervals, and the two halves."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from components.evaluation.items import Missing, PictureCount, clusters_of
from components.evaluation.metrics import CHAMPION, HELP, Metric, told_metrics
from components.evaluation.pairs import joint_scores
from components.evaluation.trust import SWAPPED, WITHOUT
from spavl.errors import InputError
from spavl.records import EvalItem
from spavl.seeds import derive_seed
from spavl.settings.evaluation import ScoringSettings
from spavl.statistics import Estimate, mean, win_rate

HALVES = ("choosing", "deciding")
HALF = 0.5


@dataclass(frozen=True)
class Scored:
    """One judged answer with what figures are made of; no score where there is no verdict."""

    item: EvalItem
    model: str
    outcome: str
    score: float | None


@dataclass(frozen=True)
class Making:
    """How figures are made.

    Attributes:
        settings: Intervals.
        seed: The run's seed.
        missing: What the published benchmarks lack; None where none was asked.
        pictures: Where their pictures come from, column by column.
        suites: The suites that were asked.
        tables: Benchmarks that are tables, with their columns.
    """

    settings: ScoringSettings
    seed: int
    missing: Sequence[Missing] | None = None
    pictures: Sequence[PictureCount] = ()
    suites: Collection[str] = ("pocket",)
    tables: Mapping[str, Collection[str]] = field(default_factory=dict)

    @property
    def metrics(self) -> list[Metric]:
        """The figures that are told, if only to say that there are no items."""
        return told_metrics(self.suites, self.missing is not None, self.tables)


def half_of(key: str, seed: int) -> str:
    """Which half a picture's items belong to.

    The candidate is chosen on one half and its promotion decided on the other, so the figures that
    promote it are not those it was picked for. Items of one picture stay together, as do items of
    one group; a text alone is its own.
    """
    return HALVES[derive_seed(seed, "half", key) % 2]


def all_figures(scored: list[Scored], making: Making) -> dict[str, Any]:
    """All figures of `figures.json`; headline figures use all items."""
    halves: dict[str, list[Scored]] = {half: [] for half in HALVES}
    for row in scored:
        key = row.item.group or row.item.image_id or row.item.item_id
        halves[half_of(key, making.seed)].append(row)
    everyone = sorted({row.model for row in scored})
    models = [name for name in everyone if name != CHAMPION]
    return {
        "models": by_model(scored, models, making),
        "halves": {half: by_model(rows, everyone, making) for half, rows in halves.items()},
        "harm_eval_usr_by_kind": {
            model: _by_kind([row for row in scored if row.model == model], making)
            for model in models
        },
        "plumbing": {"photographs": _photographs(scored, models)},
    }


def made_of(making: Making) -> dict[str, Any]:
    """Which verdicts each figure is made of, for whoever reads the verdicts beside the figures."""
    return {
        metric.key: {
            "benchmark": metric.benchmark,
            "kind": metric.kind,
            "outcomes": sorted(metric.outcomes) if metric.outcomes else None,
        }
        for metric in making.metrics
    }


def by_model(scored: list[Scored], models: list[str], making: Making) -> dict[str, Any]:
    """Every figure of every model."""
    return {
        model: {
            metric.key: _figure(metric, rows, making)
            for metric in making.metrics
            if (rows := rows_of(metric, scored, model)) or not metric.optional
        }
        for model in models
    }


def rows_of(metric: Metric, scored: Iterable[Scored], model: str) -> list[Scored]:
    """A model's rows that a figure is made of."""
    return [
        row
        for row in scored
        if row.model == model
        and row.item.benchmark == metric.benchmark
        and metric.kind in (None, row.item.kind)
    ]


def _figure(metric: Metric, rows: list[Scored], making: Making) -> dict[str, Any]:
    sources = sorted({row.item.source for row in rows})
    if len(sources) > 1:
        raise InputError(
            f"{metric.key} mixes items of {' and '.join(sources)}",
            "evaluation.benchmarks",
            "figures of different sources never share a column: evaluate them apart",
        )
    absent = _absent(metric, making)
    if not rows:
        nothing = {**asdict(Estimate(None, None, None, 0)), "note": "no items in this run"}
        return {**nothing, "source": metric.suite, **absent}
    judged = [row for row in rows if row.score is not None]
    counted = rows if metric.joint else judged  # a pair with an unjudged item is none
    figure = {**asdict(_estimate(metric, counted, making)), "source": sources[0], **absent}
    without = Counter(row.outcome for row in rows if row.score is None)
    swapped = sum(row.outcome == SWAPPED for row in rows)
    if without:
        figure[WITHOUT] = dict(sorted(without.items()))
    return figure | ({SWAPPED: swapped} if swapped else {})


def _estimate(metric: Metric, rows: list[Scored], making: Making) -> Estimate:
    """Over items in clusters of one picture and one text; win rates by wins, ties and losses."""
    confidence, scores = making.settings.confidence, scores_of(metric, rows)
    values = [float(score) for score in scores.values()]
    items = {row.item.item_id: row.item for row in rows}
    clusters = [clusters_of(items[item_id]) for item_id in scores]
    if metric.estimate == "rate":
        return mean(values, clusters, confidence)
    if metric.estimate == "grouped":
        groups: dict[str, list[float]] = {}
        for row in rows:
            groups.setdefault(row.item.group or "", []).append(scores[row.item.item_id])
        return mean([sum(each) / len(each) for each in groups.values()], None, confidence)
    if (
        metric.benchmark in HELP
        and {row.model for row in rows} == {"base"}
        and set(values) == {0.5}
    ):
        return Estimate(0.5, 0.5, 0.5, len(values))  # against itself: a tie wherever one looks
    return win_rate(values, clusters, confidence)


def scores_of(metric: Metric, rows: Iterable[Scored]) -> dict[str, float]:
    """Scores by item, of those that were judged; of a joint figure by the first item of a pair."""
    if metric.joint:
        return joint_scores((row.item, row.score) for row in rows)
    return {
        row.item.item_id: row.score if metric.outcomes is None else row.outcome in metric.outcomes
        for row in rows
        if row.score is not None
    }


def counts(score: float) -> bool:
    """Whether a score counts its item; judges that grade give others than 0 and 1."""
    return score >= HALF


def _absent(metric: Metric, making: Making) -> dict[str, Any]:
    """What of a published figure's items is not there or not the published one, counted."""
    if not metric.published:
        return {}
    if making.missing is None:
        return {"note": "needs the published benchmark; not part of this run"}
    counts = Counter[str]()
    for each in making.missing:
        if _is_of(metric, each):
            counts[each.what] += each.n
    shown = [each for each in making.pictures if _is_of(metric, each)]
    read, drawn = sum(each.read for each in shown), sum(each.drawn for each in shown)
    notes, told = [], dict[str, Any]()
    if counts:
        lacking = "; ".join(f"{what} ({n})" if n else what for what, n in counts.items())
        notes, told = [f"missing: {lacking}"], {"missing": counts.total()}
    if drawn:
        notes.append(f"pictures: {drawn} drawn here from the key phrases, {read} read")
    if shown:
        told["pictures"] = {"read": read, "drawn": drawn}
    return {"note": ". ".join(notes), **told} if notes else told


def _is_of(metric: Metric, found: Missing | PictureCount) -> bool:
    """Whether something is said of a figure's column, or of the whole of its benchmark."""
    columns = (found.kind, metric.kind)
    return found.benchmark == metric.benchmark and (None in columns or found.kind == metric.kind)


def _by_kind(rows: Iterable[Scored], making: Making) -> dict[str, Any]:
    kinds: dict[str, list[Scored]] = {}
    for row in rows:
        if row.item.benchmark == "harm_eval" and row.score is not None:
            kinds.setdefault(row.item.kind or "none", []).append(row)
    return {kind: asdict(_share(found, making)) for kind, found in sorted(kinds.items())}


def _share(rows: Sequence[Scored], making: Making) -> Estimate:
    scores = [row.score for row in rows if row.score is not None]
    return mean(scores, [clusters_of(row.item) for row in rows], making.settings.confidence)


def _photographs(scored: Iterable[Scored], models: list[str]) -> dict[str, Any]:
    counts: dict[str, Counter[str]] = {model: Counter() for model in models}
    for row in scored:
        if row.item.benchmark == "photographs" and row.model in counts:
            counts[row.model][row.outcome] += 1
    return {
        model: {"n": sum(found.values()), "outcomes": dict(sorted(found.items()))}
        for model, found in counts.items()
    }
