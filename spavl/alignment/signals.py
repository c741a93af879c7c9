"""SIGTERM while training: the step under way is finished and kept, then the process ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def termination_deferred() -> Iterator[Callable[[], bool]]:
    """Within the block SIGTERM only leaves a mark.

    Python delivers signals to the main thread alone; elsewhere the block changes nothing.

    Yields:
        Tells whether SIGTERM came.
    """
    marks: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def mark(number: int, _frame: FrameType | None) -> None:
        marks.append(number)

    previous = signal.signal(signal.SIGTERM, mark)
    try:
        yield lambda: bool(marks)
    finally:
        signal.signal(signal.SIGTERM, previous)
