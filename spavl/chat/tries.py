"""Attempts at a request: which failures may pass, how long to wait, how fast to start."""

import asyncio
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from spavl.chat.settings import OpenAISettings


class TransientError(Exception):
    """A failure that may pass by itself.

    Attributes:
        retry_after: Seconds that the endpoint asks to wait; None if it does not say.
    """

    def __init__(self, what: str, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.retry_after = retry_after


def is_transient(status: int) -> bool:
    """Whether an HTTP status may pass by itself: of a request's moment, and 5xx."""
    return status in (408, 409, 423, 424, 425, 429, 498, 499) or status >= 500


def may_be_charged(status: int) -> bool:
    """Whether an answer of this status may be charged: also where a gateway has given up."""
    return status == 200 or status in (408, 499, 504, 524)


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


def seconds_to_next(settings: OpenAISettings, attempt: int, error: Exception) -> float:
    """How long to wait after a failed attempt.

    Args:
        settings: The endpoint's settings.
        attempt: Which attempt failed, from 1.
        error: How it failed; a `TransientError` may ask for a time.

    Returns:
        What was asked for, with jitter on top, so that all who were told the same do not come back
        at once; otherwise anything up to a bound that doubles with each attempt (full jitter).
    """
    asked = error.retry_after if isinstance(error, TransientError) else None
    if asked is not None:
        return min(asked, settings.max_wait_seconds) + random.uniform(0, settings.backoff_seconds)
    longest = settings.backoff_seconds * 2.0 ** min(attempt - 1, 60)
    return random.uniform(0, min(longest, settings.max_wait_seconds))


class Pace:
    """Starts of attempts, spaced so that both limits hold on average.

    What an answer costs is known when it is there. So a start takes the mean of the answers so far,
    and the difference is made up for afterwards; before the first answer nobody is held back for
    tokens.

    Args:
        requests_per_minute: Starts a minute; None does not hold anybody back.
        tokens_per_minute: Tokens read and written a minute; None likewise.
    """

    def __init__(
        self, requests_per_minute: float | None, tokens_per_minute: float | None = None
    ) -> None:
        self._per_request = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._per_token = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._next = 0.0
        self._tokens_next = 0.0
        self._answers = 0
        self._tokens = 0

    async def turn(self) -> float:
        """Waits until it is one's turn to start; returns the tokens that were set down for it."""
        if not (self._per_request or self._per_token):
            return 0.0
        now = asyncio.get_running_loop().time()
        start = max(now, self._next, self._tokens_next)
        expected = self._tokens / self._answers if self._answers else 0.0
        self._next = start + self._per_request
        self._tokens_next = max(now, self._tokens_next) + expected * self._per_token
        await asyncio.sleep(start - now)
        return expected

    def used(self, expected: float, tokens: int) -> None:
        """Tells what the answer cost for which so many tokens were set down."""
        self._answers += 1
        self._tokens += tokens
        now = asyncio.get_running_loop().time()
        self._tokens_next = max(now, self._tokens_next) + (tokens - expected) * self._per_token
