"""Blind controls: items asked once more without their picture, to see what it does to a figure.

Of every benchmark with pictures some items are asked with a blank picture and with that of another
item. They are judged as the items that they are controls of, whatever they show. The figure with
the pictures less the figure without is `visual_dependence`: 0 for a model that does not look, and
for a benchmark whose texts say all.
"""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from components.evaluation.decodings import HARM_DECODINGS
from components.evaluation.figures import Making, Scored, rows_of, scores_of
from components.evaluation.items import Asked, clusters_of
from components.evaluation.judging import task_of
from components.evaluation.metrics import (
    BLANK,
    CHAMPION,
    CONTROLS,
    OTHER,
    Metric,
    is_control,
    plain,
)
from components.evaluation.published.making import published_picture
from spavl.records import EvalItem, Image, record_id
from spavl.seeds import derive_seed
from spavl.statistics import paired_difference

SIDE = 336  # pixels of the blank picture
GREY = 128


def control_items(items: Iterable[EvalItem], most: int, seed: int) -> Iterator[Asked]:
    """The blind controls of some items of every benchmark with pictures.

    Help is left out: it is a comparison with the base, which has no figure of its own. So are items
    that are asked once more to be decoded otherwise.

    Args:
        items: All items.
        most: Items of each benchmark that get controls.
        seed: The run's seed; it chooses them.
    """
    pictured: dict[str, list[EvalItem]] = {}
    for item in items:
        judged = task_of(item) not in (None, "help") or item.expected is not None
        again = is_control(item.benchmark) or item.benchmark in HARM_DECODINGS
        if item.image_id and judged and not again:
            pictured.setdefault(item.benchmark, []).append(item)
    blank = _blank()
    for found in pictured.values():
        found.sort(key=lambda item: derive_seed(seed, "blind", item.item_id))
        chosen = found[:most]
        for place, item in enumerate(chosen):
            yield Asked(blank, (_control(item, BLANK, blank.image_id),))
            if other := _other(found, place):
                yield Asked(None, (_control(item, OTHER, other),))


def _control(item: EvalItem, control: str, image_id: str) -> EvalItem:
    return replace(
        item,
        item_id=control_id(item.item_id, control),
        benchmark=f"{item.benchmark}.{control}",
        image_id=image_id,
    )


def control_id(item_id: str, control: str) -> str:
    """Id of an item's control."""
    return record_id(control, item_id)


def _other(items: Sequence[EvalItem], place: int) -> str | None:
    """The next item's picture that is another one and, where that is known, of another thing."""
    mine = items[place]
    for step in range(1, len(items)):
        other = items[(place + step) % len(items)]
        alike = mine.thing is not None and other.thing == mine.thing
        if other.image_id != mine.image_id and not alike:
            return other.image_id
    return None


@lru_cache(maxsize=1)
def _blank() -> Image:
    import PIL.Image

    buffer = io.BytesIO()
    PIL.Image.new("RGB", (SIDE, SIDE), (GREY, GREY, GREY)).save(buffer, "PNG")
    picture = published_picture(buffer.getvalue(), "blank", "unknown")
    assert picture is not None
    return picture


def visual_dependence(scored: Sequence[Scored], making: Making) -> dict[str, Any]:
    """By model and figure: with the item's own picture less with a blank one, or with another's.

    Args:
        scored: Judged answers, those to controls among them.
        making: How figures are made.
    """
    controls = {
        (row.model, row.item.item_id): row for row in scored if is_control(row.item.benchmark)
    }
    if not controls:
        return {}
    models = sorted({row.model for row in scored} - {CHAMPION})
    return {
        model: {
            metric.key: found
            for metric in making.metrics
            if (found := _dependence(metric, rows_of(metric, scored, model), controls, making))
        }
        for model in models
    }


def _dependence(
    metric: Metric,
    rows: Sequence[Scored],
    controls: Mapping[tuple[str, str], Scored],
    making: Making,
) -> dict[str, Any]:
    if metric.joint or not rows:
        return {}
    with_picture, found = scores_of(metric, rows), dict[str, Any]()
    items = {row.item.item_id: row.item for row in rows}
    for control in CONTROLS:
        without = _scores_without(metric, rows, controls, control)
        shared = sorted(with_picture.keys() & without.keys())
        if shared:
            before = [float(without[item]) for item in shared]
            after = [float(with_picture[item]) for item in shared]
            shown = [clusters_of(items[item]) for item in shared]
            change = paired_difference(before, after, shown, making.settings.confidence)
            found[control] = {**asdict(change), "source": rows[0].item.source}
    return found


def _scores_without(
    metric: Metric,
    rows: Iterable[Scored],
    controls: Mapping[tuple[str, str], Scored],
    control: str,
) -> dict[str, float]:
    """The controls' scores by the items that they are controls of."""
    found = {
        row.item.item_id: told
        for row in rows
        if (told := controls.get((row.model, control_id(row.item.item_id, control))))
        # An answer's form is read of the item alone; its control was judged for another figure.
        and plain(told.item.benchmark) == metric.benchmark
    }
    scores = scores_of(metric, found.values())
    ids = {told.item.item_id: item for item, told in found.items()}
    return {ids[each]: score for each, score in scores.items()}
