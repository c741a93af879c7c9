"""What a run's calls cost, written down as they are made: one file per stage, endpoint and process.

A call is opened with the most that it should cost before it is sent, and closed by what it came to:
answered, free (it was never sent, or turned down), or lost (it was sent and nothing came of it: the
endpoint may have charged for it). A process that is killed closes nothing more, so calls that are
open in the file of a dead process are lost as well. A living process holds a lock on its file.

The first line says whose calls these are, as JSON; then a line for each event:
`+ <call> <most that it costs>`, `= <call> <tokens read> <tokens written>`, `- <call>` for free,
`? <call>` for lost.
"""

import fcntl
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from spavl.storable import read_json

FOLDER = "spending"
SUFFIX = ".calls"
MILLION = 1e6


def shown_address(url: str) -> str:
    """An endpoint's address without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def price_of(
    prompt_price: float | None, completion_price: float | None, prompt: float, completion: float
) -> float | None:
    """Money for so many tokens; None unless both prices are known.

    Args:
        prompt_price: Of a million tokens read.
        completion_price: Of a million tokens written.
        prompt: Tokens read.
        completion: Tokens written.
    """
    if prompt_price is None or completion_price is None:
        return None
    return (prompt_price * prompt + completion_price * completion) / MILLION


@dataclass(frozen=True)
class Heading:
    """Whose calls an account holds.

    Attributes:
        stage: Who asks.
        endpoint: Who is asked: the address up to the version.
        model: The model's name there.
        prompt_price: Price of a million tokens read; None where it is not known.
        completion_price: Likewise of tokens written.
    """

    stage: str
    endpoint: str
    model: str
    prompt_price: float | None = None
    completion_price: float | None = None

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float | None:
        """Money for so many tokens; None without prices."""
        prices = self.prompt_price, self.completion_price
        return price_of(*prices, prompt_tokens, completion_tokens)


@dataclass
class Account:
    """The calls of one stage to one endpoint.

    Attributes:
        heading: Whose they are.
        answered: Calls that were answered.
        prompt_tokens: Tokens that those read.
        completion_tokens: Tokens that they wrote.
        lost: Calls that may have been charged and of which nothing came.
        lost_at_most: The most that those cost.
        under_way: The most that each open call costs.
    """

    heading: Heading
    answered: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    lost: int = 0
    lost_at_most: float = 0.0
    under_way: dict[str, float] = field(default_factory=dict)

    def note(self, line: str) -> None:
        """Takes in a line of the file; what cannot be read is passed over."""
        kind, call, *numbers = line.split()
        if kind == "+":
            self.under_way[call] = float(numbers[0])
            return
        at_most = self.under_way.pop(call)
        if kind == "?":
            self.lost += 1
            self.lost_at_most += at_most
        elif kind == "=":
            self.answered += 1
            self.prompt_tokens += int(numbers[0])
            self.completion_tokens += int(numbers[1])

    def close(self) -> None:
        """Whoever wrote this is dead: what is open is lost."""
        self.lost += len(self.under_way)
        self.lost_at_most += sum(self.under_way.values())
        self.under_way.clear()

    @property
    def cost(self) -> float | None:
        """Money for the calls that were answered; None without prices."""
        return self.heading.cost(self.prompt_tokens, self.completion_tokens)

    @property
    def lost_cost(self) -> float | None:
        """About what the lost calls cost: as much as answers do; without answers, the most."""
        cost = self.cost
        if cost is None:
            return None
        mean = cost / self.answered if self.answered else float("inf")
        return min(self.lost_at_most, self.lost * mean) if self.lost else 0.0

    @property
    def committed(self) -> float:
        """Money that is spent or may be, calls under way included; 0 without prices."""
        return (self.cost or 0.0) + (self.lost_cost or 0.0) + sum(self.under_way.values())


class Page:
    """One account's file as others read it, from where they stopped reading."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._ended = False
        self.account: Account | None = None

    def catch_up(self) -> None:
        """Reads what is new; a line that is not whole yet is left for the next time."""
        if self._ended:
            return
        ended = _nobody_writes(self._path)  # looked up first, so that its last lines are read
        with self._path.open("rb") as stream:
            stream.seek(self._offset)
            whole = stream.read().rpartition(b"\n")[0]
        if whole:
            self._offset += len(whole) + 1
            for line in whole.decode("utf-8", "replace").split("\n"):
                self._take(line)
        self._ended = ended
        if ended and self.account:
            self.account.close()

    def _take(self, line: str) -> None:
        try:
            if self.account is None:
                self.account = Account(Heading(**read_json(line)))
            else:
                self.account.note(line)
        except (ValueError, TypeError, KeyError, IndexError):  # torn by a kill or a full disk
            return


def read_accounts(run: Path) -> Iterator[Account]:
    """All accounts of a run's folder."""
    for path in sorted((run / FOLDER).glob(f"*{SUFFIX}")):
        page = Page(path)
        page.catch_up()
        if page.account is not None:
            yield page.account


def summed_up(accounts: Iterator[Account]) -> list[dict[str, Any]]:
    """One row for each stage and endpoint, for reports.

    Returns:
        `stage`, `endpoint`, `model`, `calls` that were answered, `prompt_tokens`,
        `completion_tokens`, `cost` and `lost_cost` (None where there is no price), and `lost`.
    """
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for account in accounts:
        heading = account.heading
        key = (heading.stage, heading.endpoint, heading.model)
        row = rows.setdefault(key, {"stage": key[0], "endpoint": key[1], "model": key[2]})
        told = {
            "calls": account.answered,
            "prompt_tokens": account.prompt_tokens,
            "completion_tokens": account.completion_tokens,
            "cost": account.cost,
            "lost": account.lost,
            "lost_cost": account.lost_cost,
        }
        for name, value in told.items():
            before = row.get(name, 0)
            row[name] = None if value is None or before is None else before + value
    return [row for row in rows.values() if row["calls"] or row["lost"]]


def heading_line(heading: Heading) -> str:
    """The first line of an account's file."""
    return json.dumps(asdict(heading))


def _nobody_writes(path: Path) -> bool:
    """Whether the process that wrote the file is dead."""
    with path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:  # held, or no locks on this file system: then nobody can tell
            return False
    return True
