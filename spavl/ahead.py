"""One step ahead: what comes next is made in a thread while the caller works on what there is."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, each made while the one before it is in use.

    Worth its thread where making an item lets go of Python's lock, as reading and digests do.

    Args:
        items: Any but None; raises what making an item raises, after the items before it.
    """
    coming = iter(items)
    with ThreadPoolExecutor(1, "ahead") as thread:
        made = thread.submit(next, coming, None)
        while (item := made.result()) is not None:
            made = thread.submit(next, coming, None)
            yield item
