"""`spavl submit`: a run in a cluster, followed to its end."""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands.completion import complete_profile, complete_setting
from spavl.errors import INTERRUPTED, InputError

SUBMIT_EXAMPLES = """Examples:

  spavl submit --host https://kfp.example.com --token-file token --version spa-vl-0.1.0

  spavl submit --port-forward --profile pocket --sizes laptop --set seed=7

  spavl submit --port-forward --follow 5c1f0d8e

Exit codes: 0 the run succeeded; 1 it failed; 2 bad input, or the server refuses; 75 cancelled, or
the server cannot be reached; 130 Ctrl-C (the run goes on)."""


def submit(
    profile: Annotated[
        str,
        typer.Option(
            help="Settings to start from: a name, or your own YAML file, which is sent along.",
            autocompletion=complete_profile,
        ),
    ] = "pocket",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="STAGE.KEY=VALUE",
            help="Change one setting; repeatable.",
            autocompletion=complete_setting,
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(
            help="Start from a preference data set: its address as pods see it, e.g. "
            "s3://bucket/name or a folder of the work volume.",
        ),
    ] = "",
    pool: Annotated[
        list[str] | None,
        typer.Option(
            metavar="POOL=JSON",
            help='Node selector or tolerations, e.g. gpu_pool={"pool":"a100"}; repeatable.',
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The run's name.")] = None,
    experiment: Annotated[str, typer.Option(help="KFP's experiment.")] = "spa-vl",
    mlflow_experiment: Annotated[
        str | None, typer.Option(help="MLflow's experiment, where KFP's plugin is on.")
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(help="A pipeline version of the cluster; without it, the pipeline here."),
    ] = None,
    image_registry: Annotated[
        str, typer.Option(help="Prefix of the image names of the pipeline here.")
    ] = "",
    sizes: Annotated[str, typer.Option(help="Sizes of its pods.")] = "cluster",
    service_account: Annotated[str, typer.Option(help="Account of its pods.")] = "spa-vl-runner",
    host: Annotated[
        str | None,
        typer.Option(envvar="KF_PIPELINES_ENDPOINT", help="URL of KFP; none in a cluster's pod."),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Namespace of runs, where KFP serves several users.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="A bearer token, read for each request; or SPAVL_KFP_TOKEN."),
    ] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Certificates to trust.")] = None,
    port_forward: Annotated[
        bool, typer.Option("--port-forward", help="Reach KFP through kubectl.")
    ] = False,
    kfp_namespace: Annotated[
        str, typer.Option(help="Namespace of KFP itself, for --port-forward.")
    ] = "kubeflow",
    follow: Annotated[
        str | None, typer.Option(metavar="RUN_ID", help="Start none; follow this run.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow the run to its end.")
    ] = True,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.05)] = 10,
    longest_silence: Annotated[
        float, typer.Option(help="Seconds without an answer to bear.", min=0)
    ] = 900,
) -> None:
    """Start the whole DAG in a cluster and follow it to its end."""
    from pipelines.cluster import Access
    from pipelines.following import Patience
    from pipelines.submission import Submission
    from pipelines.submission import port_forward as forwarded

    submission = Submission(
        profile=profile,
        overrides=tuple(set_ or ()),
        name=name,
        experiment=experiment,
        mlflow_experiment=mlflow_experiment,
        version=version,
        registry=image_registry,
        sizes=sizes,
        service_account=service_account,
        pools=_pools(pool or []),
        data=data,
    )
    with contextlib.ExitStack() as stack:
        if port_forward:
            host = stack.enter_context(forwarded(kfp_namespace))
        token = os.environ.get("SPAVL_KFP_TOKEN")
        access = Access(host, namespace, token, token_file, ca_file)
        code = _run(submission, access, follow, Patience(every, longest_silence) if wait else None)
    raise typer.Exit(code)


def _run(submission: Any, access: Any, run_id: str | None, patience: Any) -> int:
    from pipelines.cluster import connect
    from pipelines.following import ENDED, follow, mlflow_link
    from pipelines.submission import submit as start

    client = connect(access)
    if run_id is None:
        run = start(client, submission, access)
        run_id = str(run.run_id)
        print(f"run {run.display_name}: {run_id}", flush=True)
        if access.host:
            print(f"KFP      {access.host.rstrip('/')}/#/runs/details/{run_id}", flush=True)
    if patience is None:
        return 0
    try:
        ended = follow(client, run_id, patience, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print(f"spavl: the run goes on; spavl submit --follow {run_id}", file=sys.stderr)
        return INTERRUPTED
    if link := mlflow_link(ended):
        print(f"MLflow   {link}")
    reason = f": {ended.error.message}" if ended.error and ended.error.message else ""
    print(f"run {ended.display_name} {ended.state.lower()}{reason}")
    return ENDED[ended.state]


def _pools(given: list[str]) -> dict[str, Any]:
    """`gpu_pool={"pool": "a100"}` and its like as parameters.

    Raises:
        InputError: Names the entry that is wrong.
    """
    from pipelines.placement import Pools

    known = sorted(Pools.__dataclass_fields__)
    pools = {}
    for entry in given:
        key, _, text = entry.partition("=")
        if key not in known:
            raise InputError("unknown pool", key, f"known: {', '.join(known)}")
        wanted = list if key.endswith("tolerations") else dict
        try:
            pools[key] = json.loads(text)
        except ValueError:
            raise InputError("no JSON", entry, 'write it as gpu_pool={"pool": "a100"}') from None
        if not isinstance(pools[key], wanted):
            kind = "a list" if wanted is list else "an object"
            raise InputError("wrong kind of JSON", entry, f"{key} takes {kind}")
    return pools
