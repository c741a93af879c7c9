"""A picture that went out of a run comes in as the same one, and one that holds more does not."""

import io
from hashlib import sha256

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest

from spavl.images import Picture
from spavl.published.importing import is_plain

PIXELS = np.random.default_rng(3).integers(0, 255, (5, 7, 3), dtype=np.uint8)


def png(mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(PIXELS).convert(mode).save(buffer, "PNG", **options)
    return buffer.getvalue()


def with_text() -> bytes:
    told = PIL.PngImagePlugin.PngInfo()
    told.add_text("Comment", "taken at home")
    return png(pnginfo=told)


def picture(content: bytes) -> Picture:
    return Picture(content=content, media_type="image/png", width=7, height=5)


@pytest.mark.parametrize("level", [0, 1, 9])
def test_whatever_the_compression_a_png_of_pixels_alone_is_kept(level: int) -> None:
    assert is_plain(png(compress_level=level), picture(png()))


@pytest.mark.parametrize(
    "content",
    [
        with_text(),
        png() + b"more",
        png()[:-12],
        png()[:-1],
        png("L"),
        png("RGBA"),
        png("P"),
        b"",
        sha256().digest(),
    ],
)
def test_what_holds_more_or_less_is_not(content: bytes) -> None:
    assert not is_plain(content, picture(png()))


def test_a_picture_that_was_made_smaller_is_not_what_it_was() -> None:
    assert not is_plain(png(), picture(png())._replace(width=3))
