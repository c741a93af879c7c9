"""The command line, put together from `pipelines.commands`.

Heavy imports live inside the commands, so that `spavl --help` answers at once.
"""

import errno
import io
import os
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
from spavl.errors import BAD_INPUT, INTERRUPTED, InputError, SpavlError
from spavl.secrets import mask_traces, masked

REFUSED = {
    errno.ENOSPC: ("no space left", "free some, or write elsewhere"),
    errno.EDQUOT: ("no space left in your share", "free some, or write elsewhere"),
    errno.EIO: ("it cannot be written any more", "write elsewhere"),
    errno.EACCES: ("this account may not use it", "mend its permissions, or name another"),
    errno.EPERM: ("this account may not use it", "mend its permissions, or name another"),
    errno.EROFS: ("it can only be read", "name another"),
}
"""What a machine says no to, and what to do about it."""

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
    mask_traces()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 has no tick
    try:
        _require_surroundings()
        _require_values(sys.argv[1:])
        code = app(sys.argv[1:] or ["--help"], prog_name="spavl", standalone_mode=False)
        sys.stdout.flush()  # or it fails when nobody can tell of it any more
    except OSError as error:
        code = _told(_refused(error), BAD_INPUT)
    except SpavlError as error:
        code = _told(str(error), error.exit_code)
    except TyperException as error:
        code = _told(f"{error.format_message().rstrip('.')} (see spavl --help)", BAD_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        code = _told("interrupted", INTERRUPTED)
    sys.exit(code)


def _require_values(arguments: list[str]) -> None:
    """An empty value is most often a shell's variable that is not set; a path of it is here.

    Raises:
        InputError: Names the option.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option = before if argument == "" else argument.removesuffix("=")
        if argument == "" or (
            argument.startswith("--") and option != argument and "=" not in option
        ):
            raise InputError("an empty value", option, "give one, or leave the option out")


def _require_surroundings() -> None:
    """What every command wants of its surroundings.

    Raises:
        InputError: Standard output is closed, or the working folder was removed.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # libraries ask it for its terminal
        raise InputError("nowhere to write to", "stdout", "open it: > file, or > /dev/null")
    try:
        os.getcwd()
    except OSError:
        raise InputError("the working folder is gone", ".", "change to one that is there") from None


def _refused(error: OSError) -> str:
    """The line for what the system refuses; what it refuses for other reasons is a fault of ours.

    Raises:
        OSError: It is none of these.
    """
    if error.errno not in REFUSED:
        raise error
    if error.filename is None:  # what was printed cannot be; nor can it be when Python ends
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    what, remedy = REFUSED[error.errno]
    return str(InputError(what, os.fsdecode(error.filename or "stdout"), remedy))


def _told(line: str, code: int) -> int:
    # Not print: kfp.local puts its own in place, which indents, and leaves it there when it fails.
    if sys.stderr is not None:
        sys.stderr.write(masked(f"spavl: {line}\n"))
    return code


if __name__ == "__main__":
    main()
