"""What a stage has to say beside its curves, part by part, as soon as it is known."""

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from spavl.tracking.datasets import dataset_inputs, made_by_stages
from spavl.tracking.hostile import numbers, parameters
from spavl.tracking.results import TABLE, has_figures, result_metrics, write_result_table
from spavl.tracking.stages import StageView
from spavl.tracking.store import Store
from spavl.tracking.tables import TABLES_TAG, has_tables, tables_tag, write_tables

SMALL_FILE_BYTES = 2_000_000
Views = Mapping[str, StageView]
Send = Callable[[Store, str], None]


def stage_parts(view: StageView, views: Views) -> dict[str, Send]:
    """What there is to send to the stage's run, by name.

    Args:
        view: The stage.
        views: All stages of the run; the stage's inputs were made by them.
    """
    parts: dict[str, Send] = {}
    if "settings" in view.facts:
        parts["parameters"] = partial(_log_parameters, view)
        parts["inputs"] = partial(_log_inputs, view, views)
    if view.state == "done" and "result" in view.facts:
        parts["result"] = partial(_log_result, view)
        if (view.work / "model").is_dir():
            parts["model"] = partial(_log_model, view)
        if has_tables(view):
            parts["tables"] = partial(_log_tables, view, views)
    return parts


def _log_parameters(view: StageView, store: Store, run: str) -> None:
    told = {**view.facts["settings"], "input": view.facts["inputs"]}
    store.log_parameters(run, parameters(told))


def _log_inputs(view: StageView, views: Views, store: Store, run: str) -> None:
    inputs = dataset_inputs(view.facts["inputs"], made_by_stages(views.values()))
    if inputs:
        store.client.log_inputs(run, inputs)


def _log_result(view: StageView, store: Store, run: str) -> None:
    told = numbers({key: view.facts[key] for key in ("seconds", "imports")})
    told |= result_metrics(view.facts["result"])
    when = round((view.ended or 0.0) * 1000)
    store.log_metrics(run, [(name, value, when, 0) for name, value in told.items()])
    store.log_tags(run, {"spavl.code": view.facts["made_by"]["code"]})
    with tempfile.TemporaryDirectory() as folder:
        table = write_result_table(view.facts["result"], Path(folder))
        if table:
            store.log_files(run, {TABLE: table})
            if not has_tables(view):  # else the tag names all tables, when all are there
                store.log_tags(run, {TABLES_TAG: tables_tag([TABLE])})


def _log_model(view: StageView, store: Store, run: str) -> None:
    """A model's configuration and figures; its weights only where they are small."""
    folder = view.work / "model"
    files = {
        f"model/{file.relative_to(folder).as_posix()}": file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.stat().st_size <= SMALL_FILE_BYTES
    }
    store.log_files(run, files)


def _log_tables(view: StageView, views: Views, store: Store, run: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tables = write_tables(view, made_by_stages(views.values()), Path(folder))
        store.log_files(run, tables)
    besides = [TABLE] if has_figures(view.facts["result"]) else []
    store.log_tags(run, {TABLES_TAG: tables_tag([*tables, *besides])})
