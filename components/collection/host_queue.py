"""Addresses in an order that is fair to hosts: none holds up the others, a silent one is given up.

A stretch of the table is held at a time. Hosts that have answered come before those that have not,
each in turn, with as many requests under way as one host may have; a host that left several
requests in a row unanswered is asked no more.
"""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from yarl import URL

STRETCH = 4096
"""Addresses held at a time."""
GIVEN_UP_AFTER = 5
"""Requests in a row that a host leaves unanswered, from which on it is not asked."""


@dataclass
class _Host:
    waiting: deque[str] = field(default_factory=deque)
    under_way: int = 0
    unanswered: int = 0
    has_answered: bool = False


class HostQueue:
    """Deals addresses to those who fetch them.

    Args:
        addresses: All of them; read as they are needed.
        per_host: Addresses of one host that may be under way together.
    """

    def __init__(self, addresses: Iterator[str], per_host: int) -> None:
        self._addresses = addresses
        self._per_host = per_host
        self._hosts: dict[str, _Host] = {}
        self._waiting = 0
        self._known: dict[str, None] = {}  # hosts in line, in order
        self._new: dict[str, None] = {}
        # Shuffled, so that a stretch that begins with a thousand silent hosts is not all of those.
        self._shuffled = random.Random(0)

    def take(self) -> str | None:
        """The next address; None if all that are left wait for their hosts, or none is left."""
        if self._waiting < STRETCH // 2:
            self._read()
        line = self._known or self._new
        if not line:
            return None
        name = next(iter(line))
        del line[name]
        host = self._hosts[name]
        host.under_way += 1
        self._waiting -= 1
        address = host.waiting.popleft()
        self._line_up(name, host)
        return address

    def is_given_up(self, address: str) -> bool:
        """Whether the address's host has left too many requests in a row unanswered."""
        return self._hosts[host_of(address)].unanswered >= GIVEN_UP_AFTER

    def done(self, address: str, answered: bool) -> None:
        """An address that was taken is done with.

        Args:
            address: The address.
            answered: Whether its host said anything, be it no.
        """
        name = host_of(address)
        host = self._hosts[name]
        host.under_way -= 1
        host.has_answered |= answered
        host.unanswered = 0 if answered else host.unanswered + 1
        self._line_up(name, host)
        if not (host.waiting or host.under_way or host.unanswered):
            del self._hosts[name]

    def _read(self) -> None:
        stretch = list(islice(self._addresses, STRETCH - self._waiting))
        self._shuffled.shuffle(stretch)
        self._waiting += len(stretch)
        for address in stretch:
            name = host_of(address)
            host = self._hosts.setdefault(name, _Host())
            host.waiting.append(address)
            self._line_up(name, host)

    def _line_up(self, name: str, host: _Host) -> None:
        """Puts a host at the end of its line, if it may be asked and is in none."""
        if host.waiting and host.under_way < self._per_host:
            if host.has_answered:
                self._new.pop(name, None)
            (self._known if host.has_answered else self._new).setdefault(name)


def host_of(address: str) -> str:
    """The host's name; empty for what names none."""
    try:
        return URL(address).host or ""
    except ValueError:
        return ""
