"""The command line, put together from `pipelines.commands`.

Heavy imports live inside the commands, so that `spavl --help` answers at once.
"""

import io
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from pipelines.commands.ablate import ABLATE_EXAMPLES, ablate
from pipelines.commands.audit import audit
from pipelines.commands.bench import bench
from pipelines.commands.compile import COMPILE_EXAMPLES, compile_
from pipelines.commands.config import config
from pipelines.commands.doctor import DOCTOR_EXAMPLES, doctor
from pipelines.commands.exchange import EXPORT_EXAMPLES, IMPORT_EXAMPLES, export, import_
from pipelines.commands.plan import PLAN_EXAMPLES, plan
from pipelines.commands.review import review
from pipelines.commands.run import RUN_EXAMPLES, run
from pipelines.commands.submit import SUBMIT_EXAMPLES, submit
from pipelines.commands.track import track
from spavl.errors import BAD_INPUT, INTERRUPTED, SpavlError

app = typer.Typer(
    name="spavl",
    epilog="First steps: spavl doctor says what works here, spavl run makes everything in small, "
    "spavl COMMAND --help explains a command. Shell completion: spavl --install-completion.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # joins lines of a paragraph, as they are in the source
)
app.command(epilog=RUN_EXAMPLES)(run)
app.command(epilog=PLAN_EXAMPLES)(plan)
app.command("compile", epilog=COMPILE_EXAMPLES)(compile_)
app.command(epilog=DOCTOR_EXAMPLES)(doctor)
app.command()(track)
app.command(epilog=SUBMIT_EXAMPLES)(submit)
app.command(epilog=ABLATE_EXAMPLES)(ablate)
app.add_typer(audit, name="audit")
app.command(epilog=EXPORT_EXAMPLES)(export)
app.command()(review)
app.command("import", epilog=IMPORT_EXAMPLES)(import_)
app.add_typer(config, name="config")
app.add_typer(bench, name="bench")


@app.callback()
def spavl(
    version: Annotated[
        bool, typer.Option("--version", help="Say the version and end.", is_eager=True)
    ] = False,
) -> None:
    """SPA-VL on Kubeflow Pipelines: from images to safety-aligned vision-language models."""
    if version:
        from importlib.metadata import version as version_of

        print(f"spavl {version_of('spavl')}")
        raise typer.Exit()


def main() -> None:
    """Run the command line; a mistake of the user's becomes one line and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 has no tick
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="spavl", standalone_mode=False)
    except SpavlError as error:
        code = _told(str(error), error.exit_code)
    except TyperException as error:
        code = _told(f"{error.format_message().rstrip('.')} (see spavl --help)", BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        code = _told("interrupted", INTERRUPTED)
    sys.exit(code)


def _told(line: str, code: int) -> int:
    # Not print: kfp.local puts its own in place, which indents, and leaves it there when it fails.
    sys.stderr.write(f"spavl: {line}\n")
    return code


if __name__ == "__main__":
    main()
