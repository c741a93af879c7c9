"""`spavl ablate`: one data set, many trainings, and hypotheses written down beforehand."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.commands.completion import complete_profile, complete_setting
from pipelines.commands.paths import absolute_address, absolute_path, shown_path
from pipelines.commands.run import LogChoice
from pipelines.commands.track import show_tracking
from spavl.errors import INTERRUPTED, InputError

ABLATE_EXAMPLES = """Examples:

- `spavl ablate --data runs/pocket-20260101-120000`
- `spavl ablate scale diversity --data imported/ --plan mine.yaml`
- `spavl ablate --data s3://bucket/data --profile llava-1.5-7b-lora --plan mine.yaml`
- `spavl ablate --resume`

Exit codes are those of spavl run. See also: docs/ablations.md."""


def ablate(
    axes: Annotated[
        list[str] | None,
        typer.Argument(help="Axes of the plan, e.g. scale; all by default.", show_default=False),
    ] = None,
    data: Annotated[
        str,
        typer.Option(
            help="The preference data set: a run's folder, one that spavl import has made, or such "
            "a folder as s3://bucket/name.",
        ),
    ] = "",
    plan: Annotated[
        str,
        typer.Option(help="Variants, seeds and hypotheses: a shipped plan's name, or a YAML file."),
    ] = "pocket",
    profile: Annotated[
        str,
        typer.Option(help="Settings to start from.", autocompletion=complete_profile),
    ] = "pocket",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="STAGE.KEY=VALUE",
            help="Change one setting of all points; repeatable.",
            autocompletion=complete_setting,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder of all runs; finished work is shared among them.")
    ] = Path("runs"),
    name: Annotated[
        str | None, typer.Option(help="Name of its folder; ablation and time by default.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the newest unfinished ablation, or the one --name says."
        ),
    ] = False,
    log: Annotated[
        LogChoice, typer.Option(help="auto, plain lines, or one JSON object a line.")
    ] = LogChoice.AUTO,
) -> None:
    """Train and evaluate what a plan compares, and say what became of its hypotheses."""
    from components.ablation.plan import plan_text
    from components.configuration import absolute_profile
    from pipelines.local_ablation import (
        AblationRequest,
        run_ablation,
        start_ablation,
        unfinished_ablation,
    )

    out = absolute_path(out)
    if resume:
        folder, request = unfinished_ablation(out, name)
    else:
        if not data:
            raise InputError("no data set", "--data", "name a run's folder or an imported one")
        request = AblationRequest(
            plan_text(plan),
            tuple(axes or ()),
            absolute_address(data),
            absolute_profile(profile),
            tuple(set_ or ()),
        )
        folder = start_ablation(request, out, name)
    if log != LogChoice.JSON:
        print(f"ablation {folder.name}: log in {shown_path(folder / 'log.txt')}")
    try:
        found = run_ablation(request, folder, out, log.value)
    except KeyboardInterrupt:
        sys.stderr.write("spavl: interrupted; go on with spavl ablate --resume\n")
        raise typer.Exit(INTERRUPTED) from None
    if log == LogChoice.JSON:
        print(json.dumps({"event": "finished", "run": folder.name, "axes": sorted(found)}))
    else:
        _show(found, folder)


def _show(found: dict[str, Any], folder: Path) -> None:
    """A table an axis, then what became of the hypotheses."""
    from rich.console import Console

    from components.reporting.ablations import hypothesis_table, variant_table

    console = Console()
    for axis, content in found.items():
        console.print(variant_table(axis, content))
    if any(content["hypotheses"] for content in found.values()):
        console.print(hypothesis_table(found))
    console.print(f"outcomes {shown_path(folder / 'ablations')}")
    console.print(f"report   {shown_path(folder / 'report.html')}")
    show_tracking(console, folder)
