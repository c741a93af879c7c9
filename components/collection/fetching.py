"""Fetching pictures from addresses that nobody vouches for.

http and https only; every connection goes to a checked address; redirects are followed one by one
and checked alike; time, bytes and hops are bounded; bodies come uncompressed or not at all. Hosts
are treated politely: few requests at a time, evenly spaced, and again later when they say so.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

import aiohttp
from yarl import URL

from components.collection.addresses import RefusedAddressError, checking_socket_factory
from components.collection.decoding import Unusable
from spavl.chat.tries import Pace, TransientError, is_transient, seconds_to_wait
from spavl.settings.collection import FetchSettings
from spavl.storable import MARK, text_of

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, RetryCallState

REDIRECTS = {301, 302, 303, 307, 308}
BINARY_TYPES = {"", "application/octet-stream", "binary/octet-stream"}
LONGEST_ADDRESS = 2048
LONGEST_LABEL = 63
HOSTS_REMEMBERED = 10_000


class SilentHostError(Unusable):
    """The host that an address names said nothing, or not in time."""


class Fetcher:
    """Fetches one address after the other or many at once; an asynchronous context manager.

    Args:
        settings: Bounds and manners.
        max_bytes: Size of a body at most.
        resolver: Asked for names; the system's if None.
    """

    def __init__(
        self,
        settings: FetchSettings,
        max_bytes: int,
        resolver: aiohttp.abc.AbstractResolver | None = None,
    ) -> None:
        self._settings = settings
        self._max_bytes = max_bytes
        self._resolver = resolver
        self._hosts = _Hosts(settings)

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=self._settings.concurrency,
            resolver=self._resolver,
            use_dns_cache=False,
            socket_factory=checking_socket_factory(self._settings.allowed_networks),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),  # each request has one of its own
            headers={
                "User-Agent": self._settings.user_agent,
                "Accept": "image/*",
                "Accept-Encoding": "identity",
            },
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def fetch(self, address: str) -> bytes:
        """The body behind an address.

        Raises:
            Unusable: With one of the reasons "bad address", "address refused", "bad certificate",
                "too many redirects", "turned down", "not for training", "wrong content type",
                "compressed body", "too large", "too slow", "no answer".
            SilentHostError: For the last two, where the address's own host is to blame, not one
                that it leads on to.
        """
        url = _checked(address)
        try:
            async for attempt in _retrying(self._settings):
                with attempt:
                    return await self._attempt(url)
        except TransientError as error:
            raise Unusable("no answer", _told(error)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise SilentHostError("no answer", _told(error)) from None
        raise AssertionError("attempts end with a result or an error")

    async def _attempt(self, url: URL) -> bytes:
        led_on = False
        try:
            for _ in range(self._settings.max_redirects + 1):
                async with (
                    self._hosts.turn(url),
                    asyncio.timeout(self._settings.timeout_seconds),
                    self._session.get(url, allow_redirects=False) as response,
                ):
                    if response.status not in REDIRECTS:
                        return await self._body(response)
                    url = _checked(text_of(response.headers.get("Location")), response.url)
                    led_on = True
            raise Unusable("too many redirects", f"more than {self._settings.max_redirects}")
        except TimeoutError:
            said = f"not whole after {self._settings.timeout_seconds:g} seconds"
            raise (Unusable if led_on else SilentHostError)("too slow", said) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _refused(error) or (TransientError(_told(error)) if led_on else error) from None
        except ValueError as error:  # of whatever reads what hosts and tables name
            raise Unusable("bad address", str(error)[:200]) from None

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        _check_head(response, self._max_bytes)
        body = bytearray()
        async for chunk in response.content.iter_chunked(2**16):
            body += chunk
            if len(body) > self._max_bytes:
                raise Unusable("too large", f"more than {self._max_bytes} bytes")
        return bytes(body)


class _Hosts:
    """Requests at a time and a minute, by host."""

    def __init__(self, settings: FetchSettings) -> None:
        self._settings = settings
        self._known: OrderedDict[str, tuple[asyncio.Semaphore, Pace]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, url: URL) -> AsyncIterator[None]:
        """Holds one of a host's places, from when it is due."""
        free, pace = self._of(url.host or "")
        async with free:
            await pace.turn()
            yield

    def _of(self, host: str) -> tuple[asyncio.Semaphore, Pace]:
        if host not in self._known:
            places = asyncio.Semaphore(self._settings.per_host)
            self._known[host] = (places, Pace(self._settings.per_host_per_minute))
            while len(self._known) > HOSTS_REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(host)
        return self._known[host]


def _told(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__


def _checked(address: str, base: URL | None = None) -> URL:
    if MARK in address:
        raise Unusable("bad address", "it holds what is no text")
    try:
        url = URL(address) if base is None else base.join(URL(address))
        named = url.host
    except ValueError as error:
        raise Unusable("bad address", str(error)[:200]) from None
    if url.scheme not in ("http", "https"):
        raise Unusable(
            "bad address", f"scheme {url.scheme[:20]!r}: only http and https are fetched"
        )
    if not named or url.user or len(address) > LONGEST_ADDRESS:
        raise Unusable("bad address", "no host, a user's name in it, or too long")
    labels = (url.raw_host or "").removesuffix(".").split(".")
    if ":" not in named and not all(0 < len(label) <= LONGEST_LABEL for label in labels):
        raise Unusable("bad address", "a part of the host's name is empty or too long")
    return url.with_fragment(None)


def _check_head(response: aiohttp.ClientResponse, max_bytes: int) -> None:
    """What status and headers tell, before any of the body is read."""
    status = response.status
    if is_transient(status):
        wait = seconds_to_wait(response.headers.get("Retry-After"))
        raise TransientError(f"status {status}", wait)
    if status != 200:
        raise Unusable("turned down", f"status {status}")
    if any("noai" in tag or "noimageai" in tag for tag in _robots(response)):
        raise Unusable("not for training", "its owner says so by X-Robots-Tag")
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not kind.startswith("image/") and kind not in BINARY_TYPES:
        raise Unusable("wrong content type", kind[:100])
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        raise Unusable("compressed body", encoding[:100])
    if response.content_length is not None and response.content_length > max_bytes:
        raise Unusable("too large", f"{response.content_length} bytes, at most {max_bytes}")


def _robots(response: aiohttp.ClientResponse) -> list[str]:
    return [value.lower() for value in response.headers.getall("X-Robots-Tag", [])]


def _refused(error: Exception) -> Unusable | None:
    """What will not pass by itself among a connection's errors."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Unusable("bad certificate", str(error.certificate_error)[:200])
    if isinstance(error, aiohttp.InvalidURL):
        return Unusable("bad address", str(error)[:200])
    cause: BaseException | None = error
    while cause is not None:
        inner = getattr(cause, "os_error", cause)
        if isinstance(inner, RefusedAddressError) or "is no public address" in str(inner):
            return Unusable("address refused", str(inner)[:200])
        cause = cause.__cause__ or cause.__context__
    return None


def _retrying(settings: FetchSettings) -> "AsyncRetrying":
    from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
    from tenacity import wait_random_exponential as backoff

    grows = backoff(settings.backoff_seconds, settings.max_wait_seconds)

    def wait(state: "RetryCallState") -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, TransientError) else None
        if asked is None:
            return grows(state)
        # Jitter on top, so that all who were told the same do not come back at once.
        jitter = random.uniform(0, settings.backoff_seconds)
        return min(asked, settings.max_wait_seconds) + jitter

    return AsyncRetrying(
        retry=retry_if_exception_type((TransientError, aiohttp.ClientError, OSError)),
        stop=stop_after_attempt(settings.max_attempts),
        wait=wait,
        reraise=True,
    )
