"""The command line, put together from `pipelines.commands`.

Heavy imports live inside the commands, so that `spavl --help` answers at once.
"""

import sys

import typer

from pipelines.commands.compile import compile_
from pipelines.commands.run import run
from spavl.errors import SpavlError

app = typer.Typer(
    name="spavl",
    help="SPA-VL on Kubeflow Pipelines: from images to safety-aligned vision-language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(run)
app.command("compile")(compile_)


def main() -> None:
    """Run the command line; an error of ours becomes one line and its exit code."""
    try:
        app()
    except SpavlError as error:
        print(f"spavl: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
