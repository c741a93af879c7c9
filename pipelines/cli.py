"""The command line: `spavl run`, `spavl compile`.

Heavy imports live inside the commands, so that `spavl --help` answers at once.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spavl.errors import FAULT_OF_OURS, INTERRUPTED, SpavlError

if TYPE_CHECKING:
    from pipelines.local_run import RunRequest

app = typer.Typer(
    name="spavl",
    help="SPA-VL on Kubeflow Pipelines: from images to safety-aligned vision-language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def run(
    profile: Annotated[str, typer.Option(help="Settings to start from.")] = "pocket",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="STAGE.KEY=VALUE", help="Change one setting; repeatable."),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of your own pictures to add.")] = None,
    classes: Annotated[
        Path | None, typer.Option(help="CSV of file,class for your own pictures.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("runs"),
    name: Annotated[str | None, typer.Option(help="Name of this run's folder.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest unfinished run.")
    ] = False,
) -> None:
    """Run the whole DAG on this machine, with no cluster.

    Finished work is kept under OUT/.work and reused by later runs: only what your change touches
    runs again. The run's folder holds summary.json, report.html and log.txt.
    """
    from pipelines.local_run import RunRequest, latest_unfinished, run_pipeline, start_run

    out = out.absolute()
    if resume:
        folder, request = latest_unfinished(out)
    else:
        request = RunRequest(profile, tuple(set_ or ()), _absolute(images), _absolute(classes))
        _check(request)
        folder = start_run(request, out, name)
    print(f"run {folder.name}: log in {_shown(folder / 'log.txt')}")
    try:
        summary = run_pipeline(request, folder, out)
    except KeyboardInterrupt:
        print("spavl: interrupted; go on with spavl run --resume", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    _show(summary, folder)


@app.command("compile")
def compile_(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail if the files are not current.")
    ] = False,
    image_registry: Annotated[
        str, typer.Option(help="Prefix of the image names, e.g. registry.example/team.")
    ] = "",
) -> None:
    """Compile the pipelines into manifests/pipelines/."""
    from pipelines.compilation import differences, write_compiled

    if not check:
        for path in write_compiled(image_registry):
            print(_shown(path))
        return
    found = differences(image_registry)
    for file, difference in found.items():
        print(f"{file} is not what the code compiles to:\n{difference}")
    if found:
        print("run `spavl compile` and commit the result")
        raise typer.Exit(FAULT_OF_OURS)
    print("the compiled pipelines are current")


def main() -> None:
    """Run the command line; an error of ours becomes one line and its exit code."""
    try:
        app()
    except SpavlError as error:
        print(f"spavl: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _check(request: "RunRequest") -> None:
    """Find bad settings and missing folders before anything starts."""
    from components.configuration import resolve
    from pipelines.local_run import inputs_digest

    resolve(request.profile, request.overrides)
    inputs_digest(request)


def _absolute(path: Path | None) -> str:
    return str(path.absolute()) if path else ""


def _shown(path: Path) -> str:
    """A path as short as it can be from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _show(summary: dict[str, object], folder: Path) -> None:
    """The quiet end of a run: the table, the files, what to try next."""
    from rich.console import Console

    from components.reporting.summary import summary_table

    console = Console()
    console.print(summary_table(summary))
    console.print(f"summary  {_shown(folder / 'summary.json')}")
    console.print(f"report   {_shown(folder / 'report.html')}")
