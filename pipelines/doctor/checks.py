"""Checks that stand alone: each has a time limit, and none can spoil another."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from spavl.errors import InputError

Status = Literal["ok", "missing", "broken", "unknown"]

SECONDS = 2.0
DETAIL_CHARACTERS = 300
_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL", re.IGNORECASE)
_URL_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")


class NotThereError(Exception):
    """Something optional is not here."""


class UnknownError(Exception):
    """It cannot be seen from here, e.g. without a right to."""


class BrokenError(Exception):
    """Something is here, or must be, and does not work."""


@dataclass(frozen=True)
class Check:
    """One thing to look at.

    Attributes:
        name: What is looked at.
        look: Says what it found; raises `NotThereError`, `BrokenError`, `UnknownError`
            or `InputError`.
        remedy: How to get it, where it does not work.
        required: Whether a run on this machine needs it.
        seconds: Time limit.
    """

    name: str
    look: Callable[[], str]
    remedy: str
    required: bool = False
    seconds: float = SECONDS


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        name: What was looked at.
        status: `ok`, `missing` (optional and not here), `unknown` or `broken`.
        required: Whether a run on this machine needs it.
        detail: What was found.
        remedy: How to get it; empty where it works.
        seconds: How long the look took.
    """

    name: str
    status: Status
    required: bool
    detail: str
    remedy: str
    seconds: float


def examine(checks: Sequence[Check]) -> list[Finding]:
    """Make all checks at once; takes no longer than the slowest one's time limit."""
    found: dict[int, Finding] = {}
    start = time.monotonic()

    def look(number: int, check: Check) -> None:
        found.setdefault(number, _finding(check, start))

    threads = [
        threading.Thread(target=look, args=(number, check), name=check.name, daemon=True)
        for number, check in enumerate(checks)
    ]
    for thread in threads:
        thread.start()
    for number, (thread, check) in enumerate(zip(threads, checks, strict=True)):
        thread.join(max(0.0, start + check.seconds - time.monotonic()))
        silent = f"no answer within {check.seconds:g} s"
        found.setdefault(number, _told(check, "broken", silent, start))
    return [found[number] for number in range(len(checks))]


def output_of(command: Sequence[str], seconds: float = SECONDS) -> str:
    """What a command prints.

    Raises:
        NotThereError: There is no such command.
        BrokenError: It fails or gives no answer in time; holds its last line.
    """
    try:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=seconds * 0.9,
            check=False,
        )
    except FileNotFoundError:
        raise NotThereError(f"no {command[0]} in the PATH") from None
    except subprocess.TimeoutExpired:
        raise BrokenError(f"{command[0]} gives no answer within {seconds:g} s") from None
    except OSError as error:
        raise BrokenError(f"{command[0]}: {error.strerror}") from None
    if ended.returncode:
        lines = (ended.stderr.strip() or ended.stdout.strip()).splitlines()
        said = lines[-1] if lines else f"exit code {ended.returncode}"
        raise BrokenError(f"{command[0]}: {said}")
    return ended.stdout.strip()


def _finding(check: Check, start: float) -> Finding:
    try:
        return _told(check, "ok", check.look(), start)
    except NotThereError as error:
        return _told(check, "broken" if check.required else "missing", str(error), start)
    except UnknownError as error:
        return _told(check, "unknown", str(error), start)
    except BrokenError as error:
        return _told(check, "broken", str(error), start)
    except InputError as error:
        detail = f"{error.what} ({error.where})"
        return replace(_told(check, "broken", detail, start), remedy=error.remedy)
    except Exception as error:  # a check that fails itself must not hide the others
        return _told(check, "broken", f"{type(error).__name__}: {error}", start)


def _told(check: Check, status: Status, detail: str, start: float) -> Finding:
    line = " ".join(without_secrets(detail).split())[:DETAIL_CHARACTERS]
    remedy = check.remedy if status in ("missing", "broken") else ""
    seconds = round(time.monotonic() - start, 3)
    return Finding(check.name, status, check.required, line, remedy, seconds)


def without_secrets(text: str) -> str:
    """The text without the values of secret environment variables and without URLs' logins."""
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= 4:
            text = text.replace(value, "***")
    return _URL_LOGIN.sub("***", text)
