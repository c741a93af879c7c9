"""Addresses and headers that no host should have are set aside, one by one."""

import asyncio

import pytest

from components.collection.decoding import Unusable
from components.collection.fetching import Fetcher
from spavl.settings.collection import FetchSettings


def fetched(address, **changes):
    async def fetch():
        settings = FetchSettings(max_attempts=1, timeout_seconds=5, **changes)
        async with Fetcher(settings, 2**20) as fetcher:
            return await fetcher.fetch(address)

    return asyncio.run(fetch())


@pytest.mark.parametrize(
    "address",
    [
        "http://example..com/",
        f"http://{'a' * 64}.com/",
        "http://.example.com/",
        "http://a\ufffdb.com/",
        "http://xn--" + "ü" * 40 + ".com/",
        "http://" + "ü" * 64 + ".com/",
        "http://h/\ufffd.png",
        "http://" + "a." * 200 + "com/",
        "http://-/../..\x00/",
        "http://[::1%25/]/",
        "http:///x",
    ],
)
def test_a_name_that_no_host_can_have_is_a_bad_address(address):
    with pytest.raises(Unusable) as caught:
        fetched(address)
    assert caught.value.reason in ("bad address", "no answer")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"Content-Type: text/\xff\xfe", "wrong content type"),
        (b"Content-Type: image/png\r\nContent-Encoding: \xe9", "compressed body"),
        (b"Content-Type: \xed\xa0\xbd", "wrong content type"),
        (b"X-Robots-Tag: noai\xff\r\nContent-Type: image/png", "not for training"),
    ],
)
def test_a_header_with_wrong_bytes_is_told_in_storable_text(header, reason):
    async def serve():
        async def answer(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n" + header + b"\r\nContent-Length: 1\r\n\r\nx")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        settings = FetchSettings(
            max_attempts=1, timeout_seconds=5, allowed_networks=("127.0.0.0/8",)
        )
        async with server, Fetcher(settings, 2**20) as fetcher:
            await fetcher.fetch(f"http://127.0.0.1:{port}/x.png")

    with pytest.raises(Unusable) as caught:
        asyncio.run(serve())
    assert caught.value.reason == reason
    caught.value.detail.encode()
