"""Pictures of a table of addresses: fetched into a folder first, then decoded in the table's order.

What was fetched lies in the folder under the digest of its address, so a stage that was killed goes
on where it was and asks no host twice. What a host turned down is kept as well; what did not answer
is asked again.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from components.collection.classes import PhotographClass
from components.collection.decoding import Unusable
from components.collection.fetching import Fetcher, SilentHostError
from components.collection.host_queue import GIVEN_UP_AFTER, HostQueue
from components.collection.photographs import Candidate, to_record
from components.collection.sandbox import Decoders
from spavl.records import SetAside
from spavl.settings.collection import CollectionSettings

PASSING = {"no answer", "too slow"}
"""Reasons that may be gone at the next run."""


def download(
    addresses: Iterable[str],
    folder: Path,
    settings: CollectionSettings,
    progress: Callable[[int], None],
) -> None:
    """Fetches what the folder does not hold yet.

    Args:
        addresses: Where the pictures are.
        folder: Keeps a file for each address: its body, or why there is none.
        settings: Bounds and manners.
        progress: Told how many addresses are done.

    Raises:
        InputError: What reading the addresses raises.
    """
    try:
        asyncio.run(_download(iter(addresses), folder, settings, progress))
    except ExceptionGroup as group:  # the table is wrong, or a fault of ours: one tells it
        raise group.exceptions[0] from None


def downloaded(
    addresses: Iterable[str],
    classes: Mapping[str, PhotographClass],
    folder: Path,
    settings: CollectionSettings,
) -> Iterator[Candidate]:
    """The pictures of addresses that were fetched, with the classes known of them, and why the
    others are none.
    """
    with Decoders(settings) as decoders:
        contents = ((address, _kept(address, folder)) for address in addresses)
        for address, outcome in decoders.decoded(contents):
            if isinstance(outcome, Unusable):
                name = address[:2048] or "(no address)"
                yield SetAside(name, "collection", outcome.reason, outcome.detail)
            else:
                yield to_record(address, outcome, classes.get(address, PhotographClass()))


async def _download(
    addresses: Iterator[str],
    folder: Path,
    settings: CollectionSettings,
    progress: Callable[[int], None],
) -> None:
    done = 0
    held: set[str] = set()

    def tell() -> None:
        nonlocal done
        done += 1
        progress(done)

    def unsettled() -> Iterator[str]:
        for address in addresses:
            if address in held or _is_settled(address, folder):
                tell()
            else:
                held.add(address)
                yield address

    queue = HostQueue(unsettled(), settings.fetch.per_host)
    async with Fetcher(settings.fetch, settings.max_bytes) as fetcher, asyncio.TaskGroup() as group:

        async def settle(address: str) -> None:
            await _fetch_into(fetcher, queue, address, folder)
            held.discard(address)
            tell()

        under_way: set[asyncio.Task[None]] = set()
        while True:
            while len(under_way) < settings.fetch.concurrency:
                if (address := queue.take()) is None:
                    break
                under_way.add(group.create_task(settle(address)))
            if not under_way:
                return
            _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)


async def _fetch_into(fetcher: Fetcher, queue: HostQueue, address: str, folder: Path) -> None:
    body, why = _places(address, folder)
    try:
        if queue.is_given_up(address):
            said = f"its host left {GIVEN_UP_AFTER} requests unanswered"
            raise SilentHostError("no answer", said)
        content = await fetcher.fetch(address)
    except Unusable as unusable:
        queue.done(address, answered=not isinstance(unusable, SilentHostError))
        _write(why, json.dumps([unusable.reason, unusable.detail]).encode())
    else:
        queue.done(address, answered=True)
        _write(body, content)
        why.unlink(missing_ok=True)


def _is_settled(address: str, folder: Path) -> bool:
    body, why = _places(address, folder)
    return body.exists() or (why.exists() and _read_why(why).reason not in PASSING)


def _kept(address: str, folder: Path) -> bytes | Unusable:
    body, why = _places(address, folder)
    if not body.exists():
        return _read_why(why)
    return body.read_bytes() or Unusable("empty file", "0 bytes")


def _read_why(path: Path) -> Unusable:
    return Unusable(*json.loads(path.read_bytes()))


def _places(address: str, folder: Path) -> tuple[Path, Path]:
    """Where an address's body lies, and where why it has none; spread over 256 folders."""
    digest = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()
    place = folder / digest[:2]
    return place / f"{digest}.body", place / f"{digest}.why"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
