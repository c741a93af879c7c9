"""Starting a run in a cluster, once, whatever happens to the connection."""

import contextlib
import io
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.cluster import (
    Access,
    UnreachableError,
    call,
    equals,
    require_namespace,
    version_ids,
)
from spavl.errors import InputError
from spavl.storage import is_s3

PIPELINE = "spa-vl"
ATTEMPTS = 4


@dataclass(frozen=True)
class Submission:
    """What a run shall be.

    Attributes:
        profile: Name of a profile, or the path of a file; a file is sent as its text.
        overrides: `stage.key=value` each.
        name: The run's name; none is the profile with time and a few random letters.
        experiment: KFP's experiment; made where it is missing.
        mlflow_experiment: MLflow's experiment, where KFP's plugin is on; none is the plugin's own.
        version: Name of a pipeline version of the cluster; none sends the pipeline as it is here.
        registry: Prefix of the image names of a pipeline sent from here.
        sizes: Name of its sizes.
        service_account: Account of the run's pods.
        pools: Further parameters, e.g. `gpu_pool`.
        data: Address of a data set, as pods see it; empty for the whole DAG.
    """

    profile: str
    overrides: tuple[str, ...] = ()
    name: str | None = None
    experiment: str = PIPELINE
    mlflow_experiment: str | None = None
    version: str | None = None
    registry: str = ""
    sizes: str = "cluster"
    service_account: str | None = "spa-vl-runner"
    pools: dict[str, Any] = field(default_factory=dict)
    data: str = ""


def submit(client: Any, submission: Submission, access: Access) -> Any:
    """Start a run.

    A server that fails while it starts one may have started it all the same: it is looked up by its
    name before another attempt, so that no run starts twice.

    Args:
        client: A `kfp.Client`.
        submission: What to start.
        access: How the client was connected.

    Returns:
        The run, as KFP's `V2beta1Run`.

    Raises:
        InputError: Wrong settings, a name that is taken, or a refusal of the server.
        UnreachableError: If the server cannot be reached after several attempts.
    """
    _check(submission)
    require_namespace(client, access)
    name = submission.name or _free_name(submission.profile)
    experiment = call(lambda: _experiment(client, submission.experiment, access.namespace))
    if call(lambda: _named(client, experiment, name)):
        raise InputError("a run of that name exists", name, "choose another --name")
    body = call(lambda: _body(client, submission, name, experiment, access.namespace))
    trouble: UnreachableError | None = None
    for _ in range(ATTEMPTS):
        try:
            started = call(lambda: _named(client, experiment, name)) if trouble else []
            return started[0] if started else call(lambda: _create(client, body))
        except UnreachableError as error:
            trouble = error
    raise trouble or UnreachableError("no attempt was made")


def idle_accelerators(submission: Submission) -> dict[str, int]:
    """Accelerators that the pipeline here would hold and not use, by training component.

    Raises:
        InputError: If a training would have more processes than its pod gets accelerators.
    """
    from components.configuration import resolve
    from pipelines.targeting import idle_accelerators as idle
    from pipelines.targeting import read_sizes

    settings = resolve(submission.profile, submission.overrides)
    trained = {
        "train-reward-model": settings.reward_modeling,
        "train-dpo": settings.dpo,
        "train-ppo": settings.ppo,
    }
    processes = {component: stage["num_processes"] for component, stage in trained.items()}
    return idle(read_sizes(submission.sizes), processes)


def _check(submission: Submission) -> None:
    """What can be known before anything is sent."""
    from components.configuration import profile_names, resolve
    from pipelines.targeting import read_sizes

    if submission.data and submission.version:
        raise InputError(
            "versions are of the whole DAG", "--version", "leave it out: the pipeline here is sent"
        )
    _check_address(submission.data)
    resolve(submission.profile, submission.overrides)
    if submission.version and submission.profile not in profile_names():
        remedy = "leave it out: the pipeline here is sent with it; or say the difference by --set"
        raise InputError("versions know their own profiles only", "--version", remedy)
    read_sizes(submission.sizes)
    if not submission.version:
        idle_accelerators(submission)


def _check_address(data: str) -> None:
    """A path from here means nothing in a pod."""
    if data and not is_s3(data) and not Path(data.removeprefix("file://")).is_absolute():
        raise InputError(
            "no address that pods can read",
            data,
            "give s3://bucket/name, or a folder of the work volume by its full path",
        )


def _free_name(profile: str) -> str:
    return f"{Path(profile).stem}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _experiment(client: Any, name: str, namespace: str | None) -> str:
    with contextlib.redirect_stdout(io.StringIO()):  # the SDK prints a link
        return str(client.create_experiment(name, namespace=namespace).experiment_id)


def _named(client: Any, experiment: str, name: str) -> list[Any]:
    found = client.list_runs(experiment_id=experiment, filter=equals("display_name", name))
    return list(found.runs or [])


def _body(
    client: Any, submission: Submission, name: str, experiment: str, namespace: str | None
) -> Any:
    import kfp_server_api as api

    from components.configuration import portable_profile

    parameters = {
        "profile": portable_profile(submission.profile),
        "overrides": list(submission.overrides),
        **({"data": submission.data} if submission.data else {}),
        **submission.pools,
    }
    body = api.V2beta1Run(
        display_name=name,
        experiment_id=experiment,
        runtime_config=api.V2beta1RuntimeConfig(parameters=parameters),
        service_account=submission.service_account,
    )
    if submission.mlflow_experiment:
        body.plugins_input = {"mlflow": {"experiment_name": submission.mlflow_experiment}}
    if submission.version:
        pipeline, version = version_ids(client, PIPELINE, submission.version, namespace)
        body.pipeline_version_reference = api.V2beta1PipelineVersionReference(
            pipeline_id=pipeline, pipeline_version_id=version
        )
    else:
        body.pipeline_spec = _pipeline_here(submission)
    return body


def _pipeline_here(submission: Submission) -> dict[str, Any]:
    """The pipeline of this checkout, in the form that KFP takes for a run without a version."""
    from components.configuration import profile_names
    from pipelines.compilation import PIPELINES, compiled
    from pipelines.targeting import Target

    target = Target(submission.registry, submission.sizes)
    ir, platform = compiled(PIPELINES["on_data" if submission.data else "spa_vl"], target)
    if submission.profile not in profile_names():  # sent as its text, which no list holds
        del ir["root"]["inputDefinitions"]["parameters"]["profile"]["literals"]
    return {"pipeline_spec": ir, "platform_spec": platform}


def _create(client: Any, body: Any) -> Any:
    return client.runs.run_service_create_run(run=body)


@contextlib.contextmanager
def port_forward(namespace: str) -> Iterator[str]:
    """A host on this machine that leads to KFP's API server, by `kubectl port-forward`.

    Raises:
        InputError: If kubectl is not there or cannot forward.
    """
    import shutil
    import subprocess

    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise InputError("no kubectl", "PATH", "install it, or give --host")
    command = [kubectl, "--namespace", namespace, "port-forward", "service/ml-pipeline", ":8888"]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "errors").open("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()  # Forwarding from 127.0.0.1:43017 -> 8888
            if not line.startswith("Forwarding from "):
                process.wait(10)
                errors.seek(0)
                reason = (errors.read().strip() or line or "it ended").splitlines()[-1]
                raise InputError("kubectl cannot forward", namespace, reason)
            yield f"http://{line.split()[2]}"
        finally:
            process.terminate()
            process.wait(10)
