"""Files that nobody should have to fear, made by code."""

import io
import os
import shutil
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image


def photo(size: tuple[int, int] = (100, 50), seed: int = 0) -> PIL.Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3))
    return PIL.Image.fromarray(pixels.astype(np.uint8))


def encoded(picture: PIL.Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG with any size in its header and any chunks between header and end."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [png_chunk(b"IHDR", header), *chunks, png_chunk(b"IEND", b"")]
    )


def deflated_zeros(mebibytes: int) -> bytes:
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(2**20)) for _ in range(mebibytes)]
    return b"".join([*parts, packer.flush()])


def text_bomb(mebibytes: int = 200) -> bytes:
    return png(20, 20, png_chunk(b"zTXt", b"Comment\0\0" + deflated_zeros(mebibytes)))


def profile_bomb(mebibytes: int = 200) -> bytes:
    return png(20, 20, png_chunk(b"iCCP", b"icc\0\0" + deflated_zeros(mebibytes)))


def long_animation(frames: int = 5000) -> bytes:
    """A GIF of many frames, the first of them green; kept small by repeating the second's bytes."""
    green, blue = (PIL.Image.new("RGB", (50, 50), colour) for colour in ("lime", "blue"))
    two = encoded(green, "GIF", save_all=True, append_images=[blue], duration=50)
    three = encoded(green, "GIF", save_all=True, append_images=[blue, green], duration=50)
    first = next(place for place in range(len(two)) if two[place] != three[place]) - 1
    frame = two[two.rindex(b"\x21\xf9\x04") : -1]
    assert first > 0
    return two[:-1] + frame * (frames - 2) + b";"


def crowded_tiff(pages: int = 20_000) -> bytes:
    """A TIFF whose first page is good and whose pages then point on and on."""
    page = encoded(photo((30, 30)), "TIFF")
    first = struct.unpack("<I", page[4:8])[0]
    entries = struct.unpack("<H", page[first : first + 2])[0]
    link = first + 2 + 12 * entries
    start = len(page) + len(page) % 2
    chain = b"".join(
        struct.pack("<HHHII", 1, 256, 4, 1, 30) + struct.pack("<I", start + 18 * (place + 1))
        for place in range(pages)
    )
    whole = bytearray(page.ljust(start, b"\0") + chain)
    whole[link : link + 4] = struct.pack("<I", start)
    return bytes(whole)


def endless_tags_tiff(tags: int = 60_000) -> bytes:
    """A TIFF whose every tag claims the whole file as its value."""
    size = 8 + 2 + 12 * tags + 4
    entries = b"".join(struct.pack("<HHII", 1000 + tag, 7, size - 8, 8) for tag in range(tags))
    return b"II*\0" + struct.pack("<IH", 8, tags) + entries + bytes(4)


def large_tile_tiff() -> bytes:
    """A TIFF of 32 x 32 pixels in one tile that claims 60,000 x 60,000."""
    values = [(256, 32), (257, 32), (258, 8), (259, 1), (262, 1), (277, 1)]
    values += [(322, 60_000), (323, 60_000), (324, 8), (325, 1024)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values)
    directory = struct.pack("<H", len(values)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + 1024) + bytes(1024) + directory


def deep_grey() -> tuple[PIL.Image.Image, np.ndarray]:
    """A 16-bit ramp [20, 20] over the whole range."""
    ramp = np.linspace(0, 65535, 400).reshape(20, 20).astype(np.uint16)
    return PIL.Image.fromarray(ramp), ramp


BAD = {
    "empty.jpg": "empty file",
    "cut.jpg": "truncated",
    "notes.png": "not an image",
    "drawing.svg": "SVG unsupported",
    "huge claim.png": "too large",
    "text bomb.png": "decompression bomb",
    "profile bomb.png": "decompression bomb",
    "endless tags.tiff": "not decodable",
    "large tile.tiff": "truncated",
    "outside.jpg": "symlink to outside",
    "outside folder": "symlink to outside",
    "loop.jpg": "unreadable",
    "gone.jpg": "unreadable",
    "pipe.jpg": "not a file",
    "socket.jpg": "not a file",
    "sparse.jpg": "too large",
    "secret.jpg": "no permission",
    "secret folder": "no permission",
    "line\nend <script>alert(1).jpg": "not an image",
    "bad \\xff byte.jpg": "not an image",
}
"""What `plant` leaves that is no picture, and why each is none."""

GOOD = (
    "cmyk.jpg",
    "deep.png",
    "moving.gif",
    "many pages.tiff",
    "name with spaces.png",
    'it\'s "quoted".png',
    "two\nlines.png",
    "smile 😀.png",
    "folder.jpg/inside.png",
    "<b>bold<b> & more.png",
)
"""What `plant` leaves that is one."""


def plant(folder: Path, outside: Path) -> None:
    """Fills a folder with everything in `BAD` and `GOOD`; `outside` holds what links point to."""
    for name, content in _contents().items():
        (folder / name).write_bytes(content)
    outside.mkdir(parents=True, exist_ok=True)
    (outside / "picture.jpg").write_bytes(encoded(photo(seed=50), "JPEG"))
    (folder / "outside.jpg").symlink_to(outside / "picture.jpg")
    (folder / "outside folder").symlink_to(outside)
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(folder / "pipe.jpg")
    _bind(folder, "socket.jpg")
    with (folder / "sparse.jpg").open("wb") as stream:
        stream.truncate(2**40)
    (folder / "secret.jpg").write_bytes(encoded(photo(seed=51), "JPEG"))
    (folder / "secret.jpg").chmod(0)
    (folder / "secret folder").mkdir()
    (folder / "secret folder").chmod(0)
    (folder / "folder.jpg").mkdir()
    (folder / "folder.jpg" / "inside.png").write_bytes(encoded(photo(seed=52)))


def without_root_powers() -> list[str] | None:
    """How to start a process that may read only what its owner's permissions allow.

    Root reads everything; taken from it are the capabilities to pass over permissions. None where
    that is not possible.
    """
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        return None
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]


def names_in(folder: Path) -> Iterator[str]:
    """Names below a folder as records spell them."""
    for place, _, files in os.walk(folder):
        for name in files:
            relative = os.path.relpath(os.path.join(place, name), folder)
            yield os.fsencode(relative).decode("utf-8", "backslashreplace")


def _contents() -> dict[str, bytes]:
    rest = iter(range(20, 40))
    numbered = {
        name: encoded(photo(seed=next(rest)))
        for name in GOOD
        if name.count(".") and "/" not in name
    }
    return {
        **numbered,
        "cmyk.jpg": encoded(PIL.Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "JPEG", quality=95),
        "deep.png": encoded(deep_grey()[0]),
        "moving.gif": long_animation(),
        "many pages.tiff": crowded_tiff(),
        "empty.jpg": b"",
        "cut.jpg": encoded(photo((300, 300)), "JPEG")[:9000],
        "notes.png": b"these are notes",
        "drawing.svg": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>',
        "huge claim.png": png(60_000, 60_000),
        "text bomb.png": text_bomb(),
        "profile bomb.png": profile_bomb(),
        "endless tags.tiff": endless_tags_tiff(),
        "large tile.tiff": large_tile_tiff(),
        "line\nend <script>alert(1).jpg": b"x",
        os.fsdecode(b"bad \xff byte.jpg"): b"x",
    }


def _bind(folder: Path, name: str) -> None:
    """A socket by its short relative name: paths of sockets are limited to about 100 bytes."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(name)
    finally:
        os.chdir(here)
