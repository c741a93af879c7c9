"""An ablation on this machine: the ablation pipeline under the same runner as a whole run."""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.ablation.plan import Plan, plan_text, read_plan
from components.configuration import resolve
from components.importing import data_digest, require_whole
from pipelines.display import LogFormat
from pipelines.local_run import SETTINGS, RunRequest, walk, watched
from pipelines.preflight import check_request
from pipelines.run_folders import FINISHED, new_folder, unfinished
from spavl.shards import write_json

REQUEST = "ablation.json"
RESULTS = "ablations"


@dataclass(frozen=True)
class AblationRequest:
    """What an ablation was asked to do; kept in its folder.

    Attributes:
        plan: The plan's YAML.
        axes: Axes to go along; all if empty.
        data: Address of the preference data set.
        profile: Profile's name, or the absolute path of the user's own.
        overrides: The user's, `stage.key=value` each.
    """

    plan: str
    axes: tuple[str, ...]
    data: str
    profile: str
    overrides: tuple[str, ...]

    @property
    def read(self) -> Plan:
        """The plan, checked."""
        return read_plan(self.plan, self.axes)

    @property
    def settings(self) -> tuple[str, ...]:
        """The plan's overrides, and the user's after them."""
        return (*self.read.settings, *self.overrides)


def start_ablation(request: AblationRequest, out: Path, name: str | None) -> Path:
    """Check what can be known beforehand, and make the run's folder.

    Raises:
        InputError: Names the first thing that is wrong.
    """
    check_request(RunRequest(request.profile, request.settings), out)
    require_whole(request.data)
    return new_folder(request, REQUEST, out, name, "ablation")


def unfinished_ablation(out: Path, name: str | None) -> tuple[Path, AblationRequest]:
    """The newest ablation that has not come to its end, or the named one; see `unfinished`."""
    return unfinished(AblationRequest, REQUEST, out, name)


def run_ablation(
    request: AblationRequest, folder: Path, out: Path, log_format: LogFormat
) -> dict[str, Any]:
    """Walk the ablation pipeline here.

    Args:
        request: What to run.
        folder: The run's folder.
        out: Folder of all runs; their shared work root lies in it.
        log_format: How the run's events are shown.

    Returns:
        The outcome of every axis, by its name.

    Raises:
        RunFailedError: With the message and exit code of the step that failed.
    """
    with watched(folder, out, log_format):
        settings = resolve(request.profile, request.settings)
        write_json(folder / SETTINGS, settings._asdict())
        _walk(request, folder)
    found = {
        path.stem: json.loads(path.read_text())
        for path in sorted((folder / RESULTS).glob("*.json"))
    }
    told = {each["id"]: each["outcome"] for axis in found.values() for each in axis["hypotheses"]}
    write_json(folder / FINISHED, {"hypotheses": told})
    return found


def _walk(request: AblationRequest, folder: Path) -> None:
    warnings.filterwarnings("ignore")  # kfp: "python" is not in our images' names
    from kfp import local

    from pipelines.ablation import ablation

    arguments = {
        "data": request.data,
        "data_digest": data_digest(request.data),
        "plan": plan_text(request.plan),
        "axes": list(request.axes),
        "profile": request.profile,
        "overrides": list(request.settings),
    }
    walk(ablation, arguments, folder, local.SubprocessRunner(use_venv=False))
