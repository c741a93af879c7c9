"""One MLflow store: its experiment, the parent run, nested runs, and what is logged to them.

Everything may be said twice without harm: runs are found by their tags, parameters are logged once,
and a metric's step, time and value are its identity in MLflow.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spavl.errors import AwayError
from spavl.tracking.address import artifact_location, database_file, masked
from spavl.tracking.hostile import PER_CALL, TAG_CHARACTERS, batches, text

EXPERIMENT = "spa-vl"
RUN_TAG = "spavl.run"
ROLE_TAG = "spavl.role"
STAGE_TAG = "spavl.stage"
WORK_TAG = "spavl.work"
ERROR_TAG = "spavl.error"
PARENT_TAG = "mlflow.parentRunId"
# MLflow's UI opens an experiment of this kind with its pages for training.
KIND_TAG, KIND = "mlflow.experimentKind", "custom_model_development"
LASTING = frozenset(
    {
        "INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "NOT_IMPLEMENTED",
        "RESOURCE_ALREADY_EXISTS", "PERMISSION_DENIED", "ENDPOINT_NOT_FOUND", "NOT_FOUND",
    }
)  # fmt: skip


class StoreError(Exception):
    """MLflow did not take something."""


class UnansweredError(StoreError):
    """Nobody answered: nothing else will be taken now either."""


class FailedError(StoreError):
    """MLflow failed at this; it may take it later."""


class RefusedError(StoreError):
    """MLflow will not take this, however often it is offered."""


@contextlib.contextmanager
def told_apart() -> Iterator[None]:
    """Turn any trouble in the block into one of the three errors above."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise _kind(error)(masked(f"{type(error).__name__}: {error}")[:500]) from error


def _kind(error: BaseException) -> type[StoreError]:
    import requests
    from mlflow.exceptions import MlflowException

    if isinstance(error, AwayError):
        return FailedError
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, requests.ConnectionError | requests.Timeout):
            return UnansweredError
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, MlflowException):
        return RefusedError if error.error_code in LASTING else FailedError
    return FailedError if isinstance(error, requests.RequestException) else RefusedError


class Store:
    """A connected store; connecting migrates a local one, under a lock.

    Args:
        uri: Tracking URI.
        name: The pipeline run's unique id; its parent run carries it as a tag.
    """

    def __init__(self, uri: str, name: str) -> None:
        from mlflow import MlflowClient

        self.name = name
        with _migration_lock(uri):
            self.client: Any = MlflowClient(uri)
            self.experiment = self._experiment(uri)

    def _experiment(self, uri: str) -> str:
        given = os.environ.get("MLFLOW_EXPERIMENT_ID")
        if given:
            return given
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                place = artifact_location(uri)
                return str(self.client.create_experiment(name, place, {KIND_TAG: KIND}))
            except Exception:  # another run may have made it meanwhile
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def parent(self, run_name: str, start: float | None = None) -> str:
        """Find the parent run by its tag, or create it with its start in seconds since 1970.

        Pods side by side may create one each. All of them see the same list a little later, keep
        the oldest and delete the others; nested runs follow (`adopt`).
        """
        found = self._parents()
        if not found:
            tags = {RUN_TAG: self.name, ROLE_TAG: "parent"}
            self.client.create_run(self.experiment, _milliseconds(start), tags, run_name)
            found = self._parents()
        for other in found[1:]:
            with contextlib.suppress(Exception):
                self.client.delete_run(other.run_id)
        # A pod that was first knew the id only.
        if found[0].run_name == self.name != run_name:
            self.client.update_run(found[0].run_id, name=run_name)
        return str(found[0].run_id)

    def _parents(self) -> list[Any]:
        asked = f"tags.`{RUN_TAG}` = '{self.name}' and tags.`{ROLE_TAG}` = 'parent'"
        runs = self.client.search_runs([self.experiment], asked)
        infos = [run.info for run in runs]
        return sorted(infos, key=lambda info: (info.start_time, info.run_id))

    def nested(self, stage: str, work: str, start: float | None, tags: Mapping[str, str]) -> str:
        """Find a stage's run by its tags, or create it; `adopt` gives it its parent."""
        asked = (
            f"tags.`{RUN_TAG}` = '{self.name}' and tags.`{STAGE_TAG}` = '{stage}'"
            f" and tags.`{WORK_TAG}` = '{work}'"
        )
        found = self.client.search_runs([self.experiment], asked, max_results=1)
        if found:
            return str(found[0].info.run_id)
        own = {RUN_TAG: self.name, STAGE_TAG: stage, WORK_TAG: work}
        made = self.client.create_run(
            self.experiment,
            start_time=_milliseconds(start),
            tags={**own, **{key: text(value, TAG_CHARACTERS) for key, value in tags.items()}},
            run_name=stage,
        )
        return str(made.info.run_id)

    def made_in(self, work: str) -> str | None:
        """The run that did a piece of work, if this store knows it."""
        runs = self.client.search_runs([self.experiment], f"tags.`{WORK_TAG}` = '{work}'")
        makers = [run for run in runs if "cached_from" not in run.data.tags]
        return str(makers[0].info.run_id) if makers else None

    def adopt(self, run: str, parent: str) -> None:
        """Hang a nested run below its parent."""
        self.client.set_tag(run, PARENT_TAG, parent)

    def log_parameters(self, run: str, values: Mapping[str, str]) -> None:
        """Log those that the run does not have: MLflow lets none be changed."""
        from mlflow.entities import Param

        known = self.client.get_run(run).data.params
        new = [Param(key, value) for key, value in values.items() if key not in known]
        for batch in batches(new, PER_CALL["params"]):
            self.client.log_batch(run, params=batch)

    def log_metrics(self, run: str, metrics: Sequence[tuple[str, float, int, int]]) -> None:
        """Log metrics, each as name, value, time in milliseconds since 1970, step."""
        from mlflow.entities import Metric

        for batch in batches((Metric(*metric) for metric in metrics), PER_CALL["metrics"]):
            self.client.log_batch(run, metrics=batch)

    def log_tags(self, run: str, tags: Mapping[str, object]) -> None:
        """Set tags; one set before is replaced."""
        from mlflow.entities import RunTag

        new = [RunTag(key, text(value, TAG_CHARACTERS)) for key, value in tags.items()]
        for batch in batches(new, PER_CALL["tags"]):
            self.client.log_batch(run, tags=batch)

    def log_files(self, run: str, files: Mapping[str, Path]) -> None:
        """Log files, each to its path among the run's artifacts."""
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            for name, file in files.items():
                place = Path(folder) / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(file.absolute())
            self.client.log_artifacts(run, folder)

    def end(self, run: str, status: str, when: float | None = None) -> None:
        """Close a run."""
        self.client.set_terminated(run, status, _milliseconds(when))

    def tell_error(self, run: str, message: str) -> None:
        """Say what a run failed by; with no message, that what it failed by before is mended."""
        if message:
            self.log_tags(run, {ERROR_TAG: message})
        elif ERROR_TAG in self.client.get_run(run).data.tags:
            self.client.delete_tag(run, ERROR_TAG)

    def status(self, run: str) -> str:
        """A run's status as the store has it."""
        return str(self.client.get_run(run).info.status)

    def has(self, run: str) -> bool:
        """Whether the store has a run, and not among the deleted."""
        from mlflow.exceptions import MlflowException

        try:
            return bool(self.client.get_run(run).info.lifecycle_stage == "active")
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def reopen(self, run: str) -> None:
        """A resumed run is running again."""
        self.client.update_run(run, status="RUNNING")


def _milliseconds(when: float | None) -> int | None:
    return round(when * 1000) if when else None


@contextlib.contextmanager
def _migration_lock(uri: str) -> Iterator[None]:
    """Two processes that open a new SQLite store at once crash one of them."""
    file = database_file(uri)
    if file is None:
        yield
        return
    from filelock import FileLock

    file.absolute().parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock", timeout=120):
        yield
