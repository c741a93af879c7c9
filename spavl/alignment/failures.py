"""What ended a training, carried from the process that it happened in to the stage's step.

Whoever fails leaves a file in the folder of the task. Of several failures the step raises the
cause: when one process dies, the others only miss it.
"""

import json
import time
from pathlib import Path
from typing import Any

from spavl.errors import (
    FAULT_OF_OURS,
    TRY_AGAIN,
    CorruptShardError,
    SpavlError,
    TerminatedError,
)
from spavl.shards import write_json


class TrainingFailedError(SpavlError):
    """A training process failed; carries its own message and exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def raise_failure(folder: Path, codes: dict[int, int]) -> None:
    """Raise what ended a training, if it failed: the cause, not what followed from it.

    Args:
        folder: Where processes left their errors.
        codes: Exit codes of those that failed by themselves; below 0 the number of a signal.
    """
    words = {
        path.stem.removeprefix("error-"): json.loads(path.read_text())
        for path in folder.glob("error-*.json")
    }
    told = sorted(words.values(), key=lambda one: float(one["time"]))
    for one in told:
        if one["expected"]:
            _raise(one)
    # Who was ended by a signal left no words; what the others say then is that they miss it.
    silent = {n: code for n, code in codes.items() if process_name(n) not in words}
    if silent:
        number, code = next(iter(silent.items()))
        how = f"ended by signal {-code}" if code < 0 else f"ended with code {code}"
        raise TrainingFailedError(
            f"training process {number} was {how}: run it again to go on from the last checkpoint",
            TRY_AGAIN,
        )
    if told:
        _raise(told[0])


def leave_error(folder: Path, name: str, error: Exception) -> None:
    """Leave what ended a process or a node for the step to raise."""
    corrupt = str(error.path) if isinstance(error, CorruptShardError) else ""
    content = {
        "time": time.time(),
        "message": str(error) or type(error).__name__,
        "expected": isinstance(error, SpavlError),
        "exit_code": error.exit_code if isinstance(error, SpavlError) else FAULT_OF_OURS,
        "corrupt": corrupt,
        "what": str(error).partition(f" ({corrupt})")[0],
        "system": _system_error(error),
    }
    write_json(folder / f"error-{name}.json", content)


def process_name(number: int) -> str:
    """What a process's error is filed under."""
    return f"process-{number:05d}"


def _system_error(error: Exception) -> list[Any]:
    """What makes the same error of the system again, e.g. that a file may not be written."""
    if not isinstance(error, OSError) or error.errno is None:
        return []
    return [error.errno, error.strerror, error.filename and str(error.filename)]


def _raise(told: dict[str, Any]) -> None:
    if told["corrupt"]:
        raise CorruptShardError(told["what"], Path(told["corrupt"]))
    if told["exit_code"] == TRY_AGAIN:
        raise TerminatedError(told["message"])
    if told["expected"]:
        raise TrainingFailedError(told["message"], told["exit_code"])
    if told["system"]:
        raise OSError(*told["system"])
    raise RuntimeError(told["message"])
