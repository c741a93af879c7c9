"""Points: every variant of every axis under every seed, with its rows and its settings.

Variants that are on several axes are trained once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from components.ablation.plan import BASE, Plan, Rows, Variant, read_plan
from components.ablation.selection import Row, select
from spavl.digests import json_digest
from spavl.points import Point, write_points
from spavl.published.sources import Imported
from spavl.records import Preference, schema_of
from spavl.settings.base_model import BaseModelSettings
from spavl.settings.common import StageSettings
from spavl.settings.dpo import DpoSettings
from spavl.settings.ppo import PpoSettings
from spavl.settings.reward_modeling import RewardModelingSettings
from spavl.shards import read_manifest, read_rows
from spavl.storage import local_copy
from spavl.work import Stage, Work, run_stage, stage_uri

TRAINERS: Mapping[str, type[StageSettings]] = {
    "dpo": DpoSettings,
    "ppo": PpoSettings,
    "reward_modeling": RewardModelingSettings,
}
POINTS = "points.json"
_NEEDED = {"base": (), "dpo": ("dpo",), "ppo": ("ppo", "reward_modeling")}


class Points(NamedTuple):
    """What the points are, as the tasks after this one take it.

    Attributes:
        points_uri: Address of the points by id.
        groups: Comma-joined ids; the points of a group share their tasks.
        backbones: Settings of every base model, by the digest that points name it by.
    """

    points_uri: str
    groups: list[str]
    backbones: dict[str, Any]


def draw_points(
    plan: str,
    axes: Sequence[str],
    settings: Mapping[str, dict[str, Any]],
    data: Imported,
) -> Points:
    """Writes every point's data set and works out its settings.

    Args:
        plan: A plan's name, file or text.
        axes: Axes to keep; all where none is named.
        settings: The profile's settings of `dpo`, `ppo`, `reward_modeling` and `base_model`.
        data: The preference data set.

    Raises:
        InputError: If the plan or a setting is wrong, or there are too few rows.
    """
    checked = read_plan(plan, axes)
    wanted = {name: (seed, variant.rows) for name, variant, seed in _trained(checked)}
    points: dict[str, Point] = {}
    backbones: dict[str, Any] = {}
    for name, variant, seed in [(BASE, Variant(method="base"), 0), *_all(checked)]:
        base_model = _settings(settings["base_model"], variant.base_model, BaseModelSettings, name)
        backbone = json_digest(base_model)[:16]
        backbones[backbone] = base_model
        trainers = _training(variant, settings, seed, name)
        called = name.rpartition("-s")[0] if name in wanted else name
        points[name] = Point(called, seed, variant.method, backbone, trainers)
    told = {
        "points": {name: asdict(point) for name, point in points.items()},
        "rows": {name: rows.model_dump(mode="json") for name, (_, rows) in wanted.items()},
        "data": data._asdict(),
    }
    train = local_copy(data.train)
    stage = Stage("points", __name__, told, {"train": read_manifest(train).digest})

    def body(work: Work) -> dict[str, Any]:
        pairs = _draw(work, wanted, str(train))
        places = {"validation": data.validation, "test": data.test}
        drawn = {
            name: replace(points[name], train=f"{stage_uri(stage)}/{name}", pairs=count, **places)
            for name, count in pairs.items()
        }
        write_points(work.folder / POINTS, {**points, **drawn})
        return {"pairs": pairs}

    pairs = run_stage(stage, body)["pairs"]
    loads = {name: int(pairs.get(name, 0)) for name in points}
    return Points(f"{stage_uri(stage)}/{POINTS}", _groups(loads, checked.tasks), backbones)


def _all(plan: Plan) -> list[tuple[str, Variant, int]]:
    """Id, variant and seed of every point but the base; what is not trained has no seed."""
    points = _trained(plan)
    untrained = [(n, v, 0) for n, v in plan.variants.items() if v.method == "base"]
    return points + untrained


def _trained(plan: Plan) -> list[tuple[str, Variant, int]]:
    return [
        (f"{name}-s{seed}", variant, seed)
        for name, variant in plan.variants.items()
        for seed in plan.seeds
        if variant.method != "base"
    ]


def _draw(work: Work, wanted: Mapping[str, tuple[int, Rows]], train: str) -> dict[str, int]:
    import pyarrow

    rows: list[Row] = list(read_rows(train, Preference, None))
    pairs = {}
    for name, (seed, asked) in wanted.items():
        chosen = select(rows, asked, seed, name)
        with work.writer(name, Preference) as writer:
            writer.add_table(pyarrow.Table.from_pylist(chosen, schema_of(Preference)))
        pairs[name] = len(chosen)
    return pairs


def _training(
    variant: Variant, settings: Mapping[str, dict[str, Any]], seed: int, name: str
) -> dict[str, dict[str, Any]]:
    """Settings of the trainers that a point goes through; the point's seed is theirs."""
    trainers = {}
    for stage in _NEEDED[variant.method]:
        changes = {"seed": seed, **getattr(variant, stage)}
        trainers[stage] = _settings(settings[stage], changes, TRAINERS[stage], name)
    return trainers


def _settings(
    given: Mapping[str, Any], changes: Mapping[str, Any], model: type[StageSettings], name: str
) -> dict[str, Any]:
    merged = _merged(given, changes)
    # KFP's structs hold no null: optional settings default to None, so leaving it out is exact.
    return model.parse(merged, f"variants.{name}").model_dump(mode="json", exclude_none=True)


def _merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(below, value) if both else value  # type: ignore[arg-type]
    return merged


def _groups(pairs: Mapping[str, int], tasks: int) -> list[str]:
    """Ids dealt so that groups have about as much to do: the largest points first."""
    groups: list[list[str]] = [[] for _ in range(min(tasks, len(pairs)))]
    loads = [0] * len(groups)
    for name in sorted(pairs, key=lambda name: (-pairs[name], name)):
        least = loads.index(min(loads))
        groups[least].append(name)
        loads[least] += 500 + pairs[name]  # answering costs as much as 500 pairs
    return [",".join(group) for group in groups]
