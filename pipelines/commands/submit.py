"""`spavl submit`: a run in a cluster, followed to its end."""

import contextlib
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.commands.completion import complete_profile, complete_setting
from spavl.errors import INTERRUPTED, InputError

if TYPE_CHECKING:
    from pipelines.cluster import Access
    from pipelines.ending import Place
    from pipelines.following import Ended, Patience
    from pipelines.submission import Submission

SUBMIT_EXAMPLES = """Examples:

  spavl submit --host https://kfp.example.com --token-file token --version spa-vl-0.1.0

  spavl submit --port-forward --profile pocket --sizes laptop --set seed=7

  spavl submit --port-forward --follow 5c1f0d8e

Exit codes: 0 the run succeeded; 1 it failed; 2 bad input, or the server refuses; 75 cancelled,
ended by a fault that passes, or the server cannot be reached; 130 Ctrl-C (the run goes on)."""


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
    ui: Annotated[
        str | None,
        typer.Option(envvar="KF_PIPELINES_UI_ENDPOINT", help="URL of KFP's pages, for links."),
    ] = None,
    follow: Annotated[
        str | None, typer.Option(metavar="RUN_ID", help="Start none; follow this run.")
    ] = None,
    tries: Annotated[
        int,
        typer.Option(
            min=1,
            help="Runs to start at most, where the cluster ends one by a fault that passes (a pod "
            "taken away, storage away for a while); finished work is kept.",
        ),
    ] = 2,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow the run to its end.")
    ] = True,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.05)] = 10,
    longest_silence: Annotated[
        float, typer.Option(help="Seconds without an answer to bear.", min=0)
    ] = 900,
) -> None:
    """Start the whole DAG in a cluster and follow it to its end.

    With a kube config that may read the run's pods, shows stages' progress and why one failed.
    """
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
        place = _place(access, ui, kfp_namespace, port_forward)
        patience = Patience(every, longest_silence) if wait else None
        code = _run(_Asked(submission, follow, tries, patience), access, place)
    raise typer.Exit(code)


@dataclass(frozen=True)
class _Asked:
    """What the command line asks for: a new run or one to follow, and how long to wait for it."""

    submission: "Submission"
    run_id: str | None
    tries: int
    patience: "Patience | None"


def _place(access: "Access", ui: str | None, kfp_namespace: str, forwarded: bool) -> "Place":
    """Where runs are, with the cluster itself if a kube config leads there."""
    from pipelines.ending import Place
    from pipelines.kubernetes_access import NoClusterError, kubernetes_access

    try:
        kubernetes = kubernetes_access()
    except NoClusterError:
        kubernetes = None
    namespace = access.namespace or kfp_namespace
    return Place(access.host, ui, kfp_namespace, namespace, forwarded, kubernetes)


def _run(asked: _Asked, access: "Access", place: "Place") -> int:
    from pipelines.cluster import connect
    from pipelines.ending import end_lines, kfp_page
    from pipelines.submission import submit as start

    client = connect(access)
    submission, run_id = asked.submission, asked.run_id
    for attempt in range(1, asked.tries + 1):
        if asked.run_id is None:
            run = start(client, submission, access)
            run_id = str(run.run_id)
            _tell_idle(submission)
            _say(f"run {run.display_name}: {run_id}")
            _say(f"KFP      {kfp_page(place, run_id)}")
        if asked.patience is None:
            return 0
        assert run_id is not None
        try:
            ended = _follow(client, run_id, asked.patience, place)
        except KeyboardInterrupt:
            print(f"spavl: the run goes on; spavl submit --follow {run_id}", file=sys.stderr)
            return INTERRUPTED
        for line in end_lines(ended, place):
            _say(line)
        if asked.run_id or not ended.passing or attempt == asked.tries:
            break
        name = (submission.name or ended.run.display_name).removesuffix(f"-{attempt}")
        submission = replace(submission, name=f"{name}-{attempt + 1}")
        _say(f"a fault that passes: started again as {submission.name}, finished work is kept")
    return ended.exit_code


def _follow(client: Any, run_id: str, patience: "Patience", place: "Place") -> "Ended":
    from pipelines.following import follow
    from pipelines.run_pods import RunPods

    kubernetes = place.kubernetes
    if kubernetes is None:
        return follow(client, run_id, patience, _say)
    return follow(
        client,
        run_id,
        patience,
        _say,
        lambda names: RunPods(kubernetes, place.namespace, run_id, names),
    )


def _tell_idle(submission: "Submission") -> None:
    """What GPUs cost that nobody uses, while the run can still be ended."""
    from pipelines.submission import idle_accelerators

    if submission.version:
        return
    for component, idle in idle_accelerators(submission).items():
        print(
            f"spavl: {component} holds {idle} accelerators more than its num_processes; other "
            f"--sizes than {submission.sizes} may fit better",
            file=sys.stderr,
        )


def _say(line: str) -> None:
    print(line, flush=True)


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
