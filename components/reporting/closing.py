"""Closing the tracking of a run, however it ended."""

import os

from spavl.environment import run_folder
from spavl.events import tell


def close(state: str, error: str, profile: str) -> None:
    """Bring the run's stages to MLflow and set its final status.

    Does nothing without `MLFLOW_TRACKING_URI` or outside a run. Trouble with MLflow is reported,
    and never turns a good run into a failed one.

    Args:
        state: KFP's final state, e.g. `SUCCEEDED`.
        error: KFP's error message; empty if there was none.
        profile: Name of the profile of the run.
    """
    from spavl.tracking import record_run

    uri, folder = os.environ.get("MLFLOW_TRACKING_URI"), run_folder()
    if not uri or folder is None:
        tell("closing", "note", text=f"{state}; no MLflow named")
        return
    try:
        record_run(uri, folder, profile, state, error)
        tell("closing", "note", text=f"{state}; recorded in MLflow")
    except Exception as trouble:
        tell("closing", "note", text=f"{state}; not recorded in MLflow: {trouble}")
