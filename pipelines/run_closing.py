"""A run of pods in its folder and in MLflow: opened under its name, closed as it ended.

The folder is written first and MLflow told by a follower, a process of its own; what it could not
bring is brought by another one later. Everything may be done twice without harm.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from spavl.shards import write_json
from spavl.tracking.launch import (
    FOLDER,
    OPENING,
    RUN,
    STATUS,
    Ending,
    FollowerProcess,
    Outcome,
    write_status,
)
from spavl.tracking.stages import StageReader

CLOSED = "closed.json"
SECONDS_FOR_UPLOADS = 3600.0  # a champion that its own pod could not bring


@dataclass(frozen=True)
class Run:
    """A run of ours on this cluster; kept in its folder as `tracking/run.json`.

    Attributes:
        id: KFP's id, and the name of the run's folder.
        name: The name for people.
        workflow: Argo's name of it.
        uid: Unique id of the Workflow.
        namespace: Where it runs; two namespaces may share a volume.
        plugin: What KFP's MLflow plugin tells its pods; empty where it is off.
    """

    id: str
    name: str
    workflow: str
    uid: str
    namespace: str
    plugin: str = ""

    def introduce(self, folder: Path) -> None:
        """Leave who it is; pods and `spavl track` know it by that."""
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        (folder / FOLDER / "id").write_text(self.id)
        write_json(folder / FOLDER / RUN, asdict(self))


def run_in(folder: Path) -> Run | None:
    """The run that a folder is of; None where nobody introduced it."""
    try:
        return Run(**json.loads((folder / FOLDER / RUN).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def open_run(run: Run, folder: Path, mlflow: bool) -> Outcome:
    """Have a run that goes on in MLflow under its name; one closed before is open again."""
    for file in (STATUS, CLOSED):
        (folder / FOLDER / file).unlink(missing_ok=True)
    if not (mlflow or run.plugin):
        return Outcome("", "")
    return FollowerProcess(folder, run.name, run.id, OPENING, run.plugin).end()


def close_run(run: Run, folder: Path, ending: Ending, settled: bool, mlflow: bool) -> Outcome:
    """Write how a run ended, bring what its pods left behind and close it in MLflow.

    Args:
        run: The run.
        folder: Its folder.
        ending: How it ended.
        settled: Whether KFP's plugin will say nothing more of it.
        mlflow: Whether this namespace names an MLflow.
    """
    write_status(folder, ending)
    outcome = Outcome("", "")
    if mlflow or run.plugin:
        process = FollowerProcess(folder, run.name, run.id, plugin=run.plugin)
        outcome = process.end(longest=SECONDS_FOR_UPLOADS)
    if not outcome.gap:
        write_json(folder / FOLDER / CLOSED, {"time": ending.time, "settled": settled})
    return outcome


def is_closed(folder: Path, ending: Ending, settled: bool) -> bool:
    """Whether all of an ending is in MLflow."""
    told = _read(folder / FOLDER / CLOSED)
    return told.get("time") == ending.time and (told.get("settled", False) or not settled)


def ending_in(folder: Path) -> Ending | None:
    """The ending that was written into a folder; None where there is none."""
    try:
        return Ending(**json.loads((folder / FOLDER / STATUS).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def marked_if_cached(ending: Ending, folder: Path) -> Ending:
    """The ending, marked where the run went well and no stage of it had anything to do."""
    worked = StageReader(folder).read() or (folder / "summary.json").exists()
    return replace(ending, cached=ending.status == "FINISHED" and not worked)


def ending_by_the_folder(folder: Path) -> Ending:
    """How a run ended whose Workflow is no more, as far as its folder knows."""
    if (folder / "summary.json").exists():
        return Ending("FINISHED")
    error = error_of(folder)
    return Ending("FAILED", error) if error else Ending("KILLED", "its Workflow was deleted")


def error_of(folder: Path) -> str:
    """The failed stage's error as one line; empty where no stage failed by an error of its own.

    What an attempt failed by that a later one mended or lost is no reason any more.
    """
    views = StageReader(folder).read()
    told = _read(folder / "error.json")
    view = views.get(told.get("stage", ""))
    if told and (view is None or view.state == "failed"):
        return f"{told['stage']}: {told['message']}"
    failed = [view for view in views.values() if view.state == "failed"]
    first = min(failed, key=lambda view: view.ended or 0.0, default=None)
    return f"{first.name}: {first.message}" if first else ""


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
