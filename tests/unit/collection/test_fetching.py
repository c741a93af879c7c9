"""A hostile web server: each of its tricks is refused with its reason, within its bounds.

The server listens on 127.0.0.2, which is allowed; 127.0.0.1 is not, and must never be asked.
"""

import asyncio
import gzip
import ipaddress
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import abc, web

from components.collection.addresses import is_public
from components.collection.decoding import Unusable, decode
from components.collection.fetching import Fetcher
from spavl.settings.collection import CollectionSettings, FetchSettings
from tests.unit.collection.hostile import encoded, photo, png, text_bomb

ALLOWED, FORBIDDEN = "127.0.0.2", "127.0.0.1"
MAX_BYTES = 200_000
PICTURE = encoded(photo())
SETTINGS = FetchSettings(
    allowed_networks=(f"{ALLOWED}/32",),
    timeout_seconds=1.0,
    backoff_seconds=0.01,
    max_wait_seconds=0.2,
    per_host=8,
    per_host_per_minute=60_000,
)


class Names(abc.AbstractResolver):
    """A resolver whose answers change from one question to the next."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers = {name.replace("_", "."): iter(each) for name, each in answers.items()}
        self.asked: Counter[str] = Counter()

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked[host] += 1
        address = next(self.answers[host])
        return [
            abc.ResolveResult(
                hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass


class Server:
    """What the hostile server was asked, and its doors on both addresses."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.forbidden: list[str] = []
        self.at_once = self.most_at_once = 0
        self.times: list[float] = []
        self.port = 0

    def url(self, path: str) -> str:
        return f"http://{ALLOWED}:{self.port}{path}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        host = request.transport.get_extra_info("sockname")[0]
        if host == FORBIDDEN:
            self.forbidden.append(request.path)
        self.asked[request.path] += 1
        self.times.append(time.monotonic())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await getattr(self, request.match_info["trick"].replace("-", "_"))(request)
        finally:
            self.at_once -= 1

    async def picture(self, request):
        return web.Response(body=PICTURE, content_type="image/png")

    async def slowly(self, request):
        await asyncio.sleep(0.05)
        return await self.picture(request)

    async def redirect(self, request):
        raise web.HTTPFound(request.query["to"])

    async def redirect_nowhere(self, request):
        return web.Response(status=302)

    async def redirect_and_close(self, request):
        response = web.Response(status=302, headers={"Location": request.query["to"]})
        response.force_close()  # so that the next hop needs a new connection
        return response

    async def loop(self, request):
        raise web.HTTPTemporaryRedirect("/loop")

    async def endless(self, request):
        response = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
        await response.prepare(request)
        while True:
            await response.write(bytes(2**16))

    async def drip(self, request):
        response = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
        await response.prepare(request)
        while True:
            await response.write(b"\xff")
            await asyncio.sleep(0.1)

    async def silent(self, request):
        await asyncio.sleep(60)

    async def claims_much(self, request):
        headers = {"Content-Type": "image/png", "Content-Length": str(2**40)}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        return response

    async def page(self, request):
        return web.Response(text="<html></html>", content_type="text/html")

    async def page_as_jpg(self, request):
        return web.Response(body=b"<!doctype html><html></html>", content_type="image/jpeg")

    async def bomb(self, request):
        return web.Response(body=text_bomb(8), content_type="image/png")

    async def claims_pixels(self, request):
        return web.Response(body=png(60_000, 60_000), content_type="image/png")

    async def zipped(self, request):
        headers = {"Content-Type": "image/png", "Content-Encoding": "gzip"}
        return web.Response(body=gzip.compress(bytes(2**24)), headers=headers)

    async def reserved(self, request):
        headers = {"X-Robots-Tag": "noai, noimageai"}
        return web.Response(body=PICTURE, content_type="image/png", headers=headers)

    async def gone(self, request):
        raise web.HTTPNotFound()

    async def down(self, request):
        raise web.HTTPServiceUnavailable()

    async def busy_at_first(self, request):
        if self.asked[request.path] < 3:
            raise web.HTTPTooManyRequests(headers={"Retry-After": "0.1"})
        return await self.picture(request)

    async def cut_at_first(self, request):
        if self.asked[request.path] > 1:
            return await self.picture(request)
        response = web.StreamResponse(
            headers={"Content-Type": "image/png", "Content-Length": str(len(PICTURE))}
        )
        await response.prepare(request)
        await response.write(PICTURE[:100])
        request.transport.abort()
        return response


@asynccontextmanager
async def serving():
    server = Server()
    app = web.Application()
    app.router.add_get("/{trick}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    allowed = web.TCPSite(runner, ALLOWED, 0)
    await allowed.start()
    server.port = runner.addresses[0][1]
    await web.TCPSite(runner, FORBIDDEN, server.port).start()
    try:
        yield server
    finally:
        await runner.cleanup()


def fetched(
    *addresses: Callable[[Server], str], resolver: Names | None = None, **changes: object
) -> tuple[list[bytes | Unusable], Server]:
    """What fetching gives, and the server that was asked; the forbidden address never was."""

    async def run() -> tuple[list[bytes | Unusable], Server]:
        settings = SETTINGS.model_copy(update=changes)
        async with serving() as server, Fetcher(settings, MAX_BYTES, resolver) as fetcher:
            tries = (fetcher.fetch(address(server)) for address in addresses)
            outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert server.forbidden == []
        return outcomes, server

    return asyncio.run(run())


def one(path: str, **changes: object) -> bytes | Unusable:
    [outcome], _ = fetched(lambda server: server.url(path), **changes)
    if isinstance(outcome, Exception) and not isinstance(outcome, Unusable):
        raise outcome
    return outcome


def test_a_picture_is_fetched_over_redirects_of_allowed_hosts():
    assert one("/picture") == PICTURE
    assert one("/redirect?to=/picture") == PICTURE


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/redirect?to=http://169.254.169.254/latest/meta-data/", "address refused"),
        ("/redirect?to=http://[::ffff:169.254.169.254]/", "address refused"),
        ("/redirect?to=http://[::1]/", "address refused"),
        ("/redirect?to=http://10.0.0.1/", "address refused"),
        ("/redirect?to=http://2130706433/", "bad address"),
        ("/redirect?to=file:///etc/passwd", "bad address"),
        ("/redirect?to=ftp://example.org/x.jpg", "bad address"),
        ("/redirect?to=http://user:pw@example.org/", "bad address"),
        ("/redirect-nowhere", "too many redirects"),
        ("/loop", "too many redirects"),
        ("/endless", "too large"),
        ("/claims-much", "too large"),
        ("/drip", "too slow"),
        ("/silent", "too slow"),
        ("/page", "wrong content type"),
        ("/zipped", "compressed body"),
        ("/reserved", "not for training"),
        ("/gone", "turned down"),
        ("/down", "no answer"),
    ],
)
def test_each_trick_is_refused_with_its_reason_within_its_bounds(path, reason):
    start = time.monotonic()
    outcome = one(path)
    assert isinstance(outcome, Unusable)
    assert outcome.reason == reason, outcome
    assert time.monotonic() - start < 10


def test_a_redirect_to_this_machine_is_refused_unasked():
    [outcome], server = fetched(
        lambda server: server.url(f"/redirect?to=http://{FORBIDDEN}:{server.port}/picture")
    )
    assert outcome.reason == "address refused"
    assert FORBIDDEN in outcome.detail
    assert server.asked == {"/redirect": 1}


@pytest.mark.parametrize("path", ["/redirect-and-close?to=/picture", "/cut-at-first"])
def test_a_name_that_changes_its_address_is_refused_at_the_second_look(path):
    """By the second hop or attempt the name, allowed at first, has become this machine."""
    names = Names(fickle_example=[ALLOWED, FORBIDDEN])
    [outcome], server = fetched(
        lambda server: f"http://fickle.example:{server.port}{path}", resolver=names
    )
    assert outcome.reason == "address refused"
    assert names.asked["fickle.example"] == 2
    assert server.asked.total() == 1


def test_a_name_of_this_machine_is_refused_unasked():
    [outcome], server = fetched(
        lambda server: f"http://inside.example:{server.port}/picture",
        resolver=Names(inside_example=[FORBIDDEN]),
    )
    assert outcome.reason == "address refused"
    assert not server.asked


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/page-as-jpg", "not an image"),
        ("/bomb", "decompression bomb"),
        ("/claims-pixels", "too large"),
    ],
)
def test_what_passes_for_a_picture_on_the_way_is_found_out_by_decoding(path, reason):
    with pytest.raises(Unusable) as told:
        decode(one(path), CollectionSettings())
    assert told.value.reason == reason


def test_a_host_that_is_busy_or_breaks_off_is_asked_again():
    outcomes, server = fetched(
        lambda server: server.url("/busy-at-first"), lambda server: server.url("/cut-at-first")
    )
    assert outcomes == [PICTURE, PICTURE]
    assert server.asked == {"/busy-at-first": 3, "/cut-at-first": 2}


def test_what_is_turned_down_is_not_asked_for_again():
    outcomes, server = fetched(
        lambda server: server.url("/gone"), lambda server: server.url("/down"), max_attempts=4
    )
    assert [each.reason for each in outcomes] == ["turned down", "no answer"]
    assert server.asked == {"/gone": 1, "/down": 4}


def test_a_host_sees_few_requests_at_a_time():
    outcomes, server = fetched(*[lambda server: server.url("/slowly")] * 20, per_host=3)
    assert outcomes == [PICTURE] * 20
    assert server.most_at_once == 3


def test_a_host_sees_requests_at_the_pace_asked_for():
    outcomes, server = fetched(
        *[lambda server: server.url("/picture")] * 6, per_host_per_minute=600
    )
    assert outcomes == [PICTURE] * 6
    gaps = [later - sooner for sooner, later in zip(server.times, server.times[1:], strict=False)]
    assert sum(gaps) >= 0.4  # five gaps of 0.1 s, less what the clock of another process blurs


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16",
        "224.0.0.1", "255.255.255.255", "240.0.0.1", "::", "::1", "fe80::1", "fc00::1",
        "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::",
        "2002:a9fe:a9fe::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
    ],
)  # fmt: skip
def test_no_address_of_the_inside_is_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "64:ff9b::808:808"]
)
def test_addresses_of_the_outside_are(address):
    assert is_public(ipaddress.ip_address(address))
