"""`spavl run`: the whole DAG on this machine."""

import json
import shlex
import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.commands.completion import complete_profile, complete_setting
from pipelines.commands.paths import absolute_address, absolute_path, shown_path
from pipelines.commands.track import show_tracking
from spavl.errors import INTERRUPTED, InputError

if TYPE_CHECKING:
    from pipelines.local_run import RunRequest


RUN_EXAMPLES = """Examples:

- `spavl run`
- `spavl run --set dpo.beta=0.5 --set seed=7`
- `spavl run --profile mine.yaml --images photos/ --name first`
- `spavl run --data imported/`
- `spavl run --resume`
- `spavl run --seeds 3`

Exit codes: 0 done, promoted or not; 1 a fault of ours; 2 bad input or settings; 75 try again;
130 Ctrl-C. See also: spavl config show, spavl doctor, docs/quickstart.md."""


class RunnerChoice(StrEnum):
    """What tasks run as."""

    SUBPROCESS = "subprocess"
    DOCKER = "docker"


class LogChoice(StrEnum):
    """How a run is shown."""

    AUTO = "auto"
    PLAIN = "plain"
    JSON = "json"


def run(
    profile: Annotated[
        str,
        typer.Option(
            help="Settings to start from: a name of spavl config profiles, or the path of your "
            "own YAML file.",
            autocompletion=complete_profile,
        ),
    ] = "pocket",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="STAGE.KEY=VALUE",
            help="Change one setting, e.g. dpo.beta=0.3; repeatable. spavl config show lists all.",
            autocompletion=complete_setting,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder of your own pictures to add. Unusable ones are set aside and reported."
        ),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="CSV with the columns file and class that says what your own pictures show."
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(
            help="Start from a preference data set instead of making one: a run's folder, one that "
            "spavl import has made, or such a folder as s3://bucket/name.",
        ),
    ] = "",
    out: Annotated[
        Path, typer.Option(help="Folder of all runs; finished work is shared among them.")
    ] = Path("runs"),
    name: Annotated[
        str | None,
        typer.Option(help="Name of this run's folder; profile and time by default."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the newest unfinished run in OUT, or the one that --name says, as "
            "it was asked for; finished work is kept. Only budgets may change, by --set.",
        ),
    ] = False,
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            help="Make so many runs, with as many seeds, and tell every figure with an interval "
            "that holds seeds and items. Base and benchmarks are shared.",
        ),
    ] = 1,
    runner: Annotated[
        RunnerChoice,
        typer.Option(
            help="What tasks are: subprocess, in this Python; docker, containers of the images "
            "that make images builds."
        ),
    ] = RunnerChoice.SUBPROCESS,
    probe: Annotated[
        bool,
        typer.Option(
            help="Before the run, ask every endpoint that questions, responders and labels need "
            "whether it is there; a resumed run may be past them and asks none."
        ),
    ] = True,
    log: Annotated[
        LogChoice,
        typer.Option(
            help="auto: a live display on a terminal, plain lines elsewhere; plain: lines; json: "
            "one JSON object a line, for programs."
        ),
    ] = LogChoice.AUTO,
) -> None:
    """Run the whole DAG on this machine, with no cluster.

    Finished work is kept under OUT/.work and reused by later runs: only what your change touches
    runs again. The run's folder holds summary.json, report.html and log.txt.
    """
    from components.configuration import absolute_profile
    from pipelines.local_run import (
        RunRequest,
        keep_request,
        run_pipeline,
        start_run,
        unfinished_run,
    )
    from pipelines.preflight import check_request

    out = absolute_path(out)
    request = RunRequest(
        absolute_profile(profile),
        tuple(set_ or ()),
        _absolute(images),
        _absolute(classes),
        runner.value,
        absolute_address(data),
    )
    if resume:
        _require_unchanged(request)
        folder, started = unfinished_run(out, name)
        request = replace(started, overrides=(*started.overrides, *request.overrides))
    check_request(request, out, probe and not resume)
    if seeds > 1:
        if resume:
            raise InputError(
                "a single run is resumed", "--resume --seeds", "resume it, then ask for seeds anew"
            )
        _run_seeds(request, seeds, out, name, log)
        return
    if not resume:
        folder = start_run(request, out, name)
    elif request != started:
        keep_request(request, folder)
    if log != LogChoice.JSON:
        print(f"run {folder.name}: log in {shown_path(folder / 'log.txt')}")
    try:
        summary = run_pipeline(request, folder, out, log.value)
    except KeyboardInterrupt:
        sys.stderr.write("spavl: interrupted; go on with spavl run --resume\n")
        raise typer.Exit(INTERRUPTED) from None
    if log == LogChoice.JSON:
        print(json.dumps(_finished(summary, folder)))
    else:
        _show(summary, folder)


def _run_seeds(
    request: "RunRequest", seeds: int, out: Path, name: str | None, log: LogChoice
) -> None:
    """One run after the other; finished work is shared among them."""
    from rich.console import Console

    from pipelines.seeds import SEEDS, run_seeds, seeds_table

    try:
        folder, told = run_seeds(request, seeds, out, name, log.value)
    except KeyboardInterrupt:
        sys.stderr.write("spavl: interrupted; ask anew under another name, work is reused\n")
        raise typer.Exit(INTERRUPTED) from None
    if log == LogChoice.JSON:
        print(json.dumps({"event": "finished", "seeds": str(folder / SEEDS)}))
        return
    console = Console()
    console.print(seeds_table(told))
    console.print(f"seeds    {shown_path(folder / SEEDS)}")


def _require_unchanged(request: "RunRequest") -> None:
    """A resumed run is the run that was started; other settings make another run.

    Budgets may change: nothing that a run makes depends on them.
    """
    others = (each for each in request.overrides if not _is_budget(each))
    given = [*others, request.images, request.classes, request.data]
    if any(given) or request.profile != "pocket" or request.runner != "subprocess":
        raise InputError(
            "a resumed run keeps what it was started with",
            "--resume",
            "leave out the other options, or start a new run: finished work is reused",
        )


def _is_budget(override: str) -> bool:
    return override.partition("=")[0].strip().split(".")[-1] == "budget"


def _absolute(path: Path | None) -> str:
    return str(absolute_path(path)) if path else ""


def _show(summary: dict[str, Any], folder: Path) -> None:
    """The quiet end of a run: the table, the files, what to try next."""
    from rich.console import Console

    from components.reporting.summary import summary_table

    console = Console()
    console.print(summary_table(summary))
    console.print(f"summary  {shown_path(folder / 'summary.json')}")
    console.print(f"report   {shown_path(folder / 'report.html')}")
    show_tracking(console, folder)
    imported = summary["imported"]
    data = f" --data {shlex.quote(imported['source'])}" if imported else ""
    changed = f"spavl run{data} --set dpo.beta=0.5 --set seed=7"
    line = f"next     {changed}   finished work is reused"
    console.print(line, soft_wrap=True, markup=False, highlight=False)


def _finished(summary: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The last line of a run for programs."""
    return {
        "event": "finished",
        "run": folder.name,
        "summary": str(folder / "summary.json"),
        "report": str(folder / "report.html"),
        "decision": summary["decision"],
    }
