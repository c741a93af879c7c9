"""SIGTERM to the command line: its steps are told first, so that a trainer keeps what it did."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

import psutil

from spavl.errors import TerminatedError

STEP = "kfp.dsl.executor_main"
SECONDS_TO_END = 60.0


@contextlib.contextmanager
def sigterm_ends_run() -> Iterator[None]:
    """Within the block SIGTERM leaves a resumable run, with the exit code that says so.

    A trainer ends its optimizer step and writes a checkpoint; it has a minute for that. Other steps
    end at once. A second SIGTERM ends the command line, and with it whatever still runs.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        steps = _steps()
        for step in steps:
            with contextlib.suppress(psutil.NoSuchProcess):
                step.terminate()
        psutil.wait_procs(steps, SECONDS_TO_END)
        raise TerminatedError("terminated: resume with spavl run --resume")

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _steps() -> list[psutil.Process]:
    """The steps themselves, below the shells that KFP starts them through."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if STEP in process.cmdline():
                found.append(process)
    return found
