"""`spavl doctor`: what works here, and how to get what does not."""

from typing import TYPE_CHECKING, Annotated

import typer

from spavl.errors import BAD_INPUT

if TYPE_CHECKING:
    from pipelines.doctor import Finding

DOCTOR_EXAMPLES = """Examples:

- `spavl doctor`
- `MLFLOW_TRACKING_URI=http://mlflow:5000 spavl doctor`
- `spavl doctor --cluster --sizes laptop`
- `spavl doctor --json | jq '.checks[] | select(.status != "ok")'`

Exit codes: 0 a run can start here, 2 something that it needs is broken."""

MARKS = {
    "ok": ("✓", "green"),
    "missing": ("–", "yellow"),
    "broken": ("✗", "red"),
    "unknown": ("?", "yellow"),
}


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: ready, and every check.")
    ] = False,
    cluster: Annotated[
        bool,
        typer.Option(
            "--cluster", help="Look at the kube config's cluster instead: whether a run can start."
        ),
    ] = False,
    namespace: Annotated[
        str | None, typer.Option(help="Of runs, where KFP serves several users; with --cluster.")
    ] = None,
    kfp_namespace: Annotated[
        str, typer.Option(help="Namespace of KFP itself; with --cluster.")
    ] = "kubeflow",
    sizes: Annotated[str, typer.Option(help="Sizes of a run's pods; with --cluster.")] = "cluster",
    image_registry: Annotated[
        str, typer.Option(help="Prefix of a run's image names; with --cluster.")
    ] = "",
) -> None:
    """Say what works on this machine, and how to get what does not.

    Looks at Python, libraries, memory, disks, GPU, and at the services and tools that only some
    work needs. Changes nothing; says no secret; asks each service for two seconds at most.

    With --cluster it looks at KFP, at the namespace of runs and at the nodes, with your kube
    config's rights. One pod, as a run's are, pulls the images and writes to S3 and the volumes; it
    is deleted after three minutes at most.
    """
    from pipelines.doctor import all_checks, examine

    if cluster:
        from pipelines.doctor.cluster import Asked, examine_cluster
        from pipelines.targeting import read_sizes

        read_sizes(sizes)
        asked = Asked(namespace or kfp_namespace, kfp_namespace, sizes, image_registry)
        found = examine_cluster(asked)
    else:
        found = examine(all_checks())
    needed = [one.name for one in found if one.required and one.status == "broken"]
    if as_json:
        import json
        from dataclasses import asdict

        content = {"ready": not needed, "checks": [asdict(one) for one in found]}
        print(json.dumps(content, indent=1, ensure_ascii=False))
    else:
        _print(found, needed, "spavl submit" if cluster else "spavl run")
    if needed:
        raise typer.Exit(BAD_INPUT)


def _print(found: "list[Finding]", needed: list[str], start: str) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    for one in found:
        mark, colour = MARKS[one.status]
        console.print(Text(f"{mark} {one.name:<14}", colour), Text(one.detail))
        if one.remedy:
            console.print(Text(f"  {'':<14} {one.remedy}", "dim"))
    if needed:
        console.print(f"\nA run cannot start here: mend {', '.join(needed)}.")
    else:
        console.print(f"\nReady: {start}")
