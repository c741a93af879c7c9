"""Attempts at a request: which failures may pass, how long to wait, how fast to start."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from spavl.chat.settings import OpenAISettings

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState


class TransientError(Exception):
    """A failure that may pass by itself.

    Attributes:
        retry_after: Seconds that the endpoint asks to wait; None if it does not say.
    """

    def __init__(self, what: str, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.retry_after = retry_after


def is_transient(status: int) -> bool:
    """Whether an HTTP status may pass by itself: 408, 429 and 5xx."""
    return status in (408, 429) or status >= 500


def seconds_to_wait(retry_after: str | None, now: datetime | None = None) -> float | None:
    """Reads a Retry-After header (RFC 9110, section 10.2.3): seconds, or a date.

    Returns:
        Seconds from now, at least 0; None without a header or with one that cannot be read.
    """
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        due = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    due = due if due.tzinfo else due.replace(tzinfo=UTC)
    return max(0.0, (due - (now or datetime.now(UTC))).total_seconds())


def retrying(settings: OpenAISettings) -> "AsyncRetrying":
    """Tries again after transient failures, dropped connections and time-outs."""
    import aiohttp
    from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

    return AsyncRetrying(
        retry=retry_if_exception_type((TransientError, aiohttp.ClientError, TimeoutError)),
        stop=stop_after_attempt(settings.max_attempts),
        wait=_wait(settings),
        reraise=True,
    )


class Pace:
    """Starts of attempts, evenly spaced.

    Args:
        per_minute: Starts a minute; None does not hold anybody back.
    """

    def __init__(self, per_minute: float | None) -> None:
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        """Waits until it is one's turn to start."""
        if not self._gap:
            return
        now = asyncio.get_running_loop().time()
        start = max(now, self._next)
        self._next = start + self._gap
        await asyncio.sleep(start - now)


def _wait(settings: OpenAISettings) -> "Callable[[RetryCallState], float]":
    from tenacity import wait_random_exponential

    backoff = wait_random_exponential(settings.backoff_seconds, settings.max_wait_seconds)

    def wait(state: "RetryCallState") -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, TransientError) else None
        if asked is None:
            return backoff(state)
        # Jitter on top, so that all who were told the same do not come back at once.
        jitter = random.uniform(0, settings.backoff_seconds)
        return min(asked, settings.max_wait_seconds) + jitter

    return wait
