"""Errors that end a run with one clear line and a defined exit code."""

from pathlib import Path

from spavl.secrets import masked

DONE = 0
FAULT_OF_OURS = 1
BAD_INPUT = 2
TRY_AGAIN = 75
INTERRUPTED = 130


class SpavlError(Exception):
    """Base of the errors that this project raises on purpose.

    Attributes:
        exit_code: The exit code of the command line when this error ends it.
    """

    exit_code = FAULT_OF_OURS

    def __init__(self, *said: object) -> None:
        super().__init__(*(masked(each) if isinstance(each, str) else each for each in said))


class InputError(SpavlError):
    """Bad input or settings: says what is wrong, where, and what to do about it."""

    exit_code = BAD_INPUT

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"{what} ({where}): {remedy}")
        self.what, self.where, self.remedy = map(masked, (what, where, remedy))


class CorruptShardError(SpavlError):
    """A stored file does not match the checksum in its manifest.

    Attributes:
        path: The file.
    """

    exit_code = BAD_INPUT

    def __init__(self, what: str, path: Path) -> None:
        super().__init__(f"{what} ({path}): its work is done anew by spavl run --resume")
        self.path = path


class BusyError(SpavlError):
    """Another process is writing the same piece of work; trying again later helps."""

    exit_code = TRY_AGAIN


class TerminatedError(SpavlError):
    """The process was told to end and kept what it had done; running again goes on from there."""

    exit_code = TRY_AGAIN


class AwayError(SpavlError):
    """A service does not answer for now; what was done is kept and trying again goes on."""

    exit_code = TRY_AGAIN
