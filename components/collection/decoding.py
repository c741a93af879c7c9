"""Decoding of pictures that nobody vouches for.

What a header says is checked before any pixel is decoded, so a few bytes cannot claim all memory.
Only raster formats that Pillow decodes by itself are read (its EPS reader would start a program).
"""

import io
import warnings
from typing import TYPE_CHECKING

from spavl.settings.collection import CollectionSettings

if TYPE_CHECKING:
    import PIL.Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "MPO")


class Unusable(Exception):
    """A file that is no usable picture.

    Attributes:
        reason: One of a fixed few, for counting.
        detail: What exactly was found.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def decode(content: bytes, settings: CollectionSettings) -> "PIL.Image.Image":
    """Decodes a picture as a viewer shows it: upright, RGB, transparency on white, first frame.

    Args:
        content: The encoded picture.
        settings: Bounds; a picture with a side above `max_side` pixels is made smaller.

    Raises:
        Unusable: With one of the reasons "SVG unsupported", "not an image", "too large",
            "too small", "truncated", "not decodable".
    """
    import PIL.Image

    with warnings.catch_warnings():
        # Pillow warns of large pictures at a bound of its own; ours is checked right after.
        warnings.simplefilter("ignore")
        try:
            picture = PIL.Image.open(io.BytesIO(content), formats=FORMATS)
        except PIL.Image.DecompressionBombError as error:
            raise Unusable("too large", str(error)) from None
        except Exception as error:  # a parser of untrusted bytes: anything may come
            raise _unknown(content, error) from None
        with picture:
            _check_size(picture, settings)
            try:
                upright = _to_rgb(_upright(picture))
                largest = (settings.max_side, settings.max_side)
                upright.thumbnail(largest, PIL.Image.Resampling.LANCZOS)
            except Exception as error:
                raise _broken(error) from None
            _check_sides(upright, settings)
            return upright


def encode(picture: "PIL.Image.Image") -> bytes:
    """PNG without any metadata, so equal pixels give equal bytes."""
    buffer = io.BytesIO()
    picture.info = {}
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _unknown(content: bytes, error: Exception) -> Unusable:
    start = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype")) and b"<svg" in start:
        return Unusable("SVG unsupported", "convert it to PNG")
    return Unusable("not an image", str(error)[:200])


def _check_size(picture: "PIL.Image.Image", settings: CollectionSettings) -> None:
    if picture.width * picture.height > settings.max_pixels:
        raise Unusable("too large", f"{picture.width} x {picture.height} pixels")


def _check_sides(picture: "PIL.Image.Image", settings: CollectionSettings) -> None:
    """Image processors fail on pictures of a few pixels; a long strip becomes one when shrunk."""
    if min(picture.size) < settings.min_side:
        raise Unusable("too small", f"{picture.width} x {picture.height} pixels as stored")


def _upright(picture: "PIL.Image.Image") -> "PIL.Image.Image":
    from PIL import ImageOps

    picture.load()
    try:
        return ImageOps.exif_transpose(picture) or picture
    except Exception:  # broken EXIF says nothing about the pixels
        return picture.copy()


def _to_rgb(picture: "PIL.Image.Image") -> "PIL.Image.Image":
    import PIL.Image

    if picture.mode.startswith(("I", "F")):
        return _eight_bits(picture).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    white = PIL.Image.new("RGBA", layer.size, "white")
    return PIL.Image.alpha_composite(white, layer).convert("RGB")


def _eight_bits(picture: "PIL.Image.Image") -> "PIL.Image.Image":
    """16-bit greys and floats, which Pillow would clip to white, stretched to 8 bits."""
    import numpy as np
    import PIL.Image

    values = np.asarray(picture, dtype=np.float64)  # [height, width]
    low, high = (0.0, 65535.0) if picture.mode.startswith("I;16") else (values.min(), values.max())
    scaled = (values - low) / max(high - low, 1e-9) * 255.0
    return PIL.Image.fromarray(np.nan_to_num(scaled).clip(0, 255).astype(np.uint8))


def _broken(error: Exception) -> Unusable:
    text = str(error) or type(error).__name__
    cut = isinstance(error, OSError) and ("truncated" in text or "Truncated" in text)
    return Unusable("truncated" if cut else "not decodable", text[:200])
