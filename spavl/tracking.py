"""MLflow: one parent run per pipeline run, one nested run per stage.

Stages leave their facts in the run folder as they finish; the exit handler brings them to MLflow in
one go, so no stage pays for MLflow's imports and a run that fails is recorded as far as it came.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

EXPERIMENT = "spa-vl"
RUN_TAG = "spavl.run"
METRICS_PER_CALL = 900  # MLflow takes 1,000 metrics a call
STATUS = {"SUCCEEDED": "FINISHED", "FAILED": "FAILED", "CANCELLED": "KILLED"}


def migrate(uri: str, artifacts: Path) -> str:
    """Create or upgrade a store and its experiment before any step opens it.

    Two processes that open a new SQLite store at once crash one of them, so this is done once,
    by the command line.

    Args:
        uri: Tracking URI.
        artifacts: Folder for artifacts of a new experiment of a store on this machine; the default
            would be the working directory. A server has its own place for them.

    Returns:
        The experiment's id.
    """
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is not None:
        return str(experiment.experiment_id)
    served = uri.startswith(("http://", "https://"))
    location = None if served else artifacts.absolute().as_uri()
    return str(client.create_experiment(EXPERIMENT, location))


def record_run(uri: str, folder: Path, profile: str, status: str, error: str) -> str:
    """Bring a run's stages to MLflow and close it.

    Args:
        uri: Tracking URI.
        folder: The run's folder; its `stages/*.json` and, where there is one, `summary.json`.
        profile: Name of the profile of the run.
        status: KFP's final state, e.g. `SUCCEEDED`.
        error: KFP's error message; empty if there was none.

    Returns:
        The parent run's id.
    """
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = migrate(uri, folder.parent / "mlflow-artifacts")
    parent = _parent(client, experiment, folder.name, profile)
    for path in sorted((folder / "stages").glob("*.json")):
        _record_stage(client, experiment, parent, json.loads(path.read_text()))
    if (folder / "summary.json").exists():
        _log(client, parent, _figures(json.loads((folder / "summary.json").read_text())))
        for name in ("summary.json", "report.html"):
            client.log_artifact(parent, str(folder / name))
    if error:
        client.set_tag(parent, "spavl.error", error[:5000])
    client.set_terminated(parent, STATUS.get(status, "FAILED"))
    return parent


def _parent(client: Any, experiment: str, name: str, profile: str) -> str:
    """Find the run by its tag, or create it: a resumed run goes on in the same one."""
    found = client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{name}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    tags = {RUN_TAG: name, "spavl.profile": profile}
    return str(client.create_run(experiment, tags=tags, run_name=name).info.run_id)


def _record_stage(client: Any, experiment: str, parent: str, facts: Mapping[str, Any]) -> None:
    tags = {
        "mlflow.parentRunId": parent,
        "spavl.stage": facts["stage"],
        "spavl.code": facts["made_by"]["code"],
    }
    if facts["reused"]:
        tags["cached_from"] = facts["work"]
    run = client.create_run(experiment, tags=tags, run_name=facts["stage"]).info.run_id
    for key, value in _flat(facts["settings"]):
        client.log_param(run, key, str(value)[:6000])
    _log(client, run, dict(_numbers({"seconds": facts["seconds"], "result": facts["result"]})))
    _log_curves(client, run, Path(facts["work"]) / "curves.jsonl")
    client.set_terminated(run, "FINISHED")


def _log_curves(client: Any, run: str, path: Path) -> None:
    from mlflow.entities import Metric

    if not path.exists():
        return
    metrics = []
    for line in path.read_text().splitlines():
        values = json.loads(line)
        step = int(values.pop("step"))
        metrics += [Metric(name, value, 0, step) for name, value in _numbers(values)]
    for start in range(0, len(metrics), METRICS_PER_CALL):
        client.log_batch(run, metrics=metrics[start : start + METRICS_PER_CALL])


def _log(client: Any, run: str, values: Mapping[str, float]) -> None:
    from mlflow.entities import Metric

    metrics = [Metric(name, value, 0, 0) for name, value in values.items()]
    for start in range(0, len(metrics), METRICS_PER_CALL):
        client.log_batch(run, metrics=metrics[start : start + METRICS_PER_CALL])


def _figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """`models.dpo.harm_eval_usr.value` and its like become `dpo.harm_eval_usr`."""
    return {
        f"{model}.{name}": figure["value"]
        for model, figures in summary["models"].items()
        for name, figure in figures.items()
        if isinstance(figure, Mapping) and figure.get("value") is not None
    }


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _numbers(tree: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in _flat(tree):
        if isinstance(value, int | float):
            yield key, float(value)
