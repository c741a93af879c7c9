"""Looking into an MLflow store."""

from pathlib import Path
from typing import Any

from spavl.tracking.launch import unique_id


def runs_of(client: Any, run_id: str) -> dict[str, Any]:
    """All runs of a pipeline run in a store, by name; fails where two have the same."""
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`spavl.run` = '{run_id}'")
    names = [run.info.run_name for run in runs]
    assert len(set(names)) == len(names), names
    return dict(zip(names, runs, strict=True))


def runs_in(client: Any, folder: Path) -> dict[str, Any]:
    return runs_of(client, unique_id(folder))


def history(client: Any, run: Any, metric: str) -> list[tuple[int, float]]:
    """A curve as (step, value)."""
    found = client.get_metric_history(run.info.run_id, metric)
    return sorted((each.step, each.value) for each in found)


def artifacts(client: Any, run: Any, path: str | None = None) -> set[str]:
    return {each.path for each in client.list_artifacts(run.info.run_id, path)}
