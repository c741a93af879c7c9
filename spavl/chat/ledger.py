"""The run's ledger, in which every call is entered before it is sent; budgets are kept here.

What is spent in a run is known from the accounts of all its processes together. A call is entered
with the most that it should cost, under one lock for all, so that any number of processes with any
number of calls under way stay within a budget.
"""

import fcntl
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from spavl.chat.accounts import FOLDER, SUFFIX, Account, Heading, Page, heading_line
from spavl.environment import run_folder

LOCK = "lock"


@dataclass(frozen=True)
class Budgets:
    """Money that may be spent in a run; None is no limit.

    Attributes:
        run: By all its calls.
        endpoint: By its calls to one model at one endpoint.
    """

    run: float | None = None
    endpoint: float | None = None


class Ledger:
    """One process's account of one stage and endpoint, and what all others of the run have spent.

    Args:
        heading: Whose calls are entered.
        budgets: What may be spent.
    """

    def __init__(self, heading: Heading, budgets: Budgets) -> None:
        self.account = Account(heading)
        self.budgets = budgets
        self._folder = (run_folder() or _of_this_process()) / FOLDER
        self._others: dict[Path, Page] = {}
        self._calls = 0
        self._path = self._folder / f"{heading.stage}-{os.getpid()}-{uuid.uuid4().hex[:8]}{SUFFIX}"
        self._descriptor: int | None = None

    def enter(self, at_most: float, margin: float = 0.0) -> str | None:
        """Enters a call that is to be sent; None where a budget has no room for it.

        Args:
            at_most: What it should cost at most; 0 where there is no price.
            margin: What there must be room for besides.
        """
        with self._alone():
            if self.over(at_most + margin):
                return None
            self._calls += 1
            call = str(self._calls)
            self._write(f"+ {call} {at_most:.9g}")
        return call

    def answered(self, call: str, prompt_tokens: int, completion_tokens: int) -> None:
        """The call was answered."""
        self._write(f"= {call} {prompt_tokens} {completion_tokens}")

    def free(self, call: str) -> None:
        """The call was not sent, or was turned down."""
        self._write(f"- {call}")

    def lost(self, call: str) -> None:
        """The call was sent, and nothing will come of it."""
        self._write(f"? {call}")

    def over(self, more: float) -> list[str]:
        """The budgets that have no room for so much more: `run`, `endpoint`."""
        if self._unlimited:
            return []
        spent = {"run": self.spent(), "endpoint": self.spent(this_endpoint=True)}
        limits = {name: getattr(self.budgets, name) for name in spent}
        return [
            name
            for name, limit in limits.items()
            if limit is not None and spent[name] + more > limit
        ]

    def may_have_room(self, more: float) -> bool:
        """Whether calls of others that are under way may cost so little that there is room yet."""
        others = list(self._read_others())
        under_way = [sum(account.under_way.values()) for account in others]
        return any(account.under_way for account in others) and not self.over(more - sum(under_way))

    def spent(self, this_endpoint: bool = False) -> float:
        """Money that the run's calls have cost or may cost, as far as prices are known."""
        mine, accounts = self.account.heading, [self.account, *self._read_others()]
        return sum(
            account.committed
            for account in accounts
            if not this_endpoint
            or (account.heading.endpoint, account.heading.model) == (mine.endpoint, mine.model)
        )

    def close(self) -> None:
        """Lets go of the account; what is open in it is lost."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def _unlimited(self) -> bool:
        return self.budgets.run is None and self.budgets.endpoint is None

    def _read_others(self) -> Iterator[Account]:
        for path in self._folder.glob(f"*{SUFFIX}"):
            if path == self._path:
                continue
            page = self._others.setdefault(path, Page(path))
            page.catch_up()
            if page.account is not None:
                yield page.account

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else enters a call meanwhile; needed only where there is a budget to keep."""
        if self._unlimited:
            yield
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, line: str) -> None:
        if self._descriptor is None:
            self._open()
        assert self._descriptor is not None
        os.write(self._descriptor, f"{line}\n".encode())
        self.account.note(line)

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(new, flags, 0o644)
        with suppress(OSError):  # no locks on this file system: it is never taken for a dead one's
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        os.write(self._descriptor, f"{heading_line(self.account.heading)}\n".encode())
        new.rename(self._path)  # others see it only once it is locked


_PROCESS_FOLDER: list[tempfile.TemporaryDirectory[str]] = []


def _of_this_process() -> Path:
    """Outside of a run a process is alone with what it spends."""
    if not _PROCESS_FOLDER:
        _PROCESS_FOLDER.append(tempfile.TemporaryDirectory(prefix="spavl-spending-"))
    return Path(_PROCESS_FOLDER[0].name)
