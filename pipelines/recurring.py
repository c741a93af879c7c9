"""Keeping a recurring run as it is declared: the job that Argo CD runs after each sync.

KFP has no declarative recurring runs. `python -m pipelines.recurring FILE` reads the declaration
and makes the cluster agree with it: what is equal stays untouched, what differs is made anew, and
what is declared off is removed. Doing it twice changes nothing.
"""

import os
import sys
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.cluster import Access, call, connect, equals, version_ids
from spavl.errors import InputError, SpavlError

Outcome = Literal["unchanged", "created", "replaced", "removed", "absent"]


class Declaration(BaseModel):
    """A recurring run as it shall be.

    Attributes:
        cron: Six fields, seconds first.
        parameters: Of the pipeline; those left out have the pipeline's defaults.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    enabled: bool
    cron: str = Field(pattern=r"^(\S+ ){5}\S+$")
    pipeline: str = "spa-vl"
    experiment: str = "spa-vl"
    service_account: str = "spa-vl-runner"
    parameters: dict[str, Any] = {}


def read_declaration(path: Path) -> Declaration:
    """The declaration in a file.

    Raises:
        InputError: If the file is not there, or a key in it is wrong.
    """
    try:
        return Declaration.model_validate(yaml.safe_load(path.read_text()))
    except OSError:
        raise InputError("no such file", str(path), "give the declaration's path") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(first["msg"], f"{path.name}: {key}", "correct this key") from None


def keep(client: Any, declared: Declaration, version: str, namespace: str | None) -> Outcome:
    """Make the cluster's recurring run agree with its declaration.

    Args:
        client: A `kfp.Client`.
        declared: What shall be.
        version: Name of the pipeline version to run.
        namespace: Namespace of runs where KFP serves several users.

    Returns:
        What was done.
    """
    present = _present(client, declared.name, namespace)
    if not declared.enabled:
        _remove(client, present)
        return "removed" if present else "absent"
    pipeline_id, version_id = version_ids(client, declared.pipeline, version, namespace)
    if len(present) == 1 and _equal(present[0], declared, version_id):
        return "unchanged"
    # The old one goes last: a failure in between leaves one too many, and the next sync mends it.
    experiment = client.create_experiment(declared.experiment, namespace=namespace)
    client.create_recurring_run(
        experiment.experiment_id,
        declared.name,
        cron_expression=declared.cron,
        max_concurrency=1,
        no_catchup=True,
        params=declared.parameters,
        pipeline_id=pipeline_id,
        version_id=version_id,
        service_account=declared.service_account,
    )
    _remove(client, present)
    return "replaced" if present else "created"


def _present(client: Any, name: str, namespace: str | None) -> list[Any]:
    found = client.list_recurring_runs(
        page_size=100, namespace=namespace, filter=equals("display_name", name)
    )
    return list(found.recurring_runs or [])


def _equal(run: Any, declared: Declaration, version_id: str) -> bool:
    return (
        run.status == "ENABLED"
        and run.trigger.cron_schedule is not None
        and run.trigger.cron_schedule.cron == declared.cron
        and run.pipeline_version_reference.pipeline_version_id == version_id
        and (run.runtime_config.parameters or {}) == declared.parameters
        and run.service_account == declared.service_account
    )


def _remove(client: Any, runs: list[Any]) -> None:
    for run in runs:
        client.delete_recurring_run(run.recurring_run_id)


def main() -> None:
    """Read the declaration named by the first argument and the version named by the environment."""
    host, namespace = os.environ.get("KFP_HOST"), os.environ.get("KFP_NAMESPACE")
    try:
        declared = read_declaration(Path(sys.argv[1]))
        client = connect(Access(host, namespace))
        version = os.environ["PIPELINE_VERSION"]
        outcome = call(lambda: keep(client, declared, version, namespace))
    except SpavlError as error:
        print(f"recurring run: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(f"recurring run {declared.name}: {outcome}")


if __name__ == "__main__":
    main()
