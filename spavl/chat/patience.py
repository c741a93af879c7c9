"""How long an answer is waited for.

An endpoint charges for an answer that nobody waits for any more, and for the next one as well. So
the limit follows the endpoint: it is never below a multiple of what answers usually take, and it
grows under the calls that are waiting, as others are answered. A call that is asked again is given
twice the time.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from statistics import median
from typing import Any, TypeVar

Answer = TypeVar("Answer")

TIMES_THE_MEDIAN = 5.0
TIMES_AT_FIRST = 3.0
MOST_SECONDS_AT_FIRST = 600.0
"""While nothing was answered nobody knows how long answers take, and all wait together."""
MOST_GIVEN_UP = 2
"""Attempts at one request that may run out of time."""
_REMEMBERED = 256


class Patience:
    """Limits on the time of attempts.

    Args:
        least: Seconds that every attempt is given.
    """

    def __init__(self, least: float) -> None:
        self._least = least
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)

    def limit(self, given_up: int = 0) -> float:
        """Seconds for an attempt at a request of which so many were given up."""
        if self._seconds:
            usual = median(self._seconds) * TIMES_THE_MEDIAN
        else:
            usual = min(self._least * TIMES_AT_FIRST, MOST_SECONDS_AT_FIRST)
        return float(max(self._least, usual) * 2**given_up)

    async def within(self, call: Coroutine[Any, Any, Answer], given_up: int) -> Answer:
        """What a call returns.

        Raises:
            TimeoutError: The limit was passed; the call is cancelled.
        """
        loop = asyncio.get_running_loop()
        start, task = loop.time(), asyncio.create_task(call)
        try:
            while (left := start + self.limit(given_up) - loop.time()) > 0:
                await asyncio.wait({task}, timeout=left)
                if task.done():
                    answer = task.result()
                    self._seconds.append(loop.time() - start)
                    return answer
            raise TimeoutError(f"no answer within {loop.time() - start:.3g} seconds")
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # looked at, or it is told as one that nobody looked at
