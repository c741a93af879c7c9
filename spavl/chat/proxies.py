"""The proxy that the environment names for an address."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

if TYPE_CHECKING:
    from aiohttp import BasicAuth
    from yarl import URL

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def proxy_of(address: str) -> "tuple[URL | None, BasicAuth | None]":
    """The proxy for an http(s) address, without its user, and that user's name and password."""
    from aiohttp import BasicAuth
    from yarl import URL

    parts = urlsplit(address)
    named = getproxies().get(parts.scheme)
    if named is None or parts.hostname in _LOOPBACK or proxy_bypass(parts.netloc):
        return None, None
    proxy = URL(named)
    return proxy.with_user(None), BasicAuth.from_url(proxy)
