"""Closing the tracking of a run of pods, however it ended."""

from spavl.events import tell
from spavl.tracking.launch import close_in_pod, in_pod

STATUS = {"SUCCEEDED": "FINISHED", "FAILED": "FAILED", "CANCELLED": "KILLED"}


def close(state: str, error: str, profile: str) -> None:
    """Bring to MLflow what is not there yet and set the run's final status.

    On one machine the command line does this, and this step has nothing to do. Trouble with MLflow
    is reported, and never turns a good run into a failed one.

    Args:
        state: KFP's final state, e.g. `SUCCEEDED`.
        error: KFP's error message; empty if there was none.
        profile: Name of the profile of the run.
    """
    if not in_pod():
        return
    outcome = close_in_pod(STATUS.get(state, "FAILED"), error)
    gap = f"; not in MLflow yet: {outcome.gap}" if outcome.gap else ""
    tell("closing", "note", text=f"{profile}: {state}; {outcome.link}{gap}")
