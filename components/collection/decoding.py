"""Decoding of pictures that nobody vouches for.

What a header says is checked before any pixel is decoded, so a few bytes cannot claim all memory;
of an animation only the first frame is decoded, of a TIFF only the first page. Only raster formats
that Pillow decodes by itself are read (its EPS reader would start a program). What a header does
not tell is bounded from outside: `components.collection.sandbox`.
"""

import io
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spavl.settings.collection import CollectionSettings
from spavl.storable import text_of

if TYPE_CHECKING:
    import PIL.Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
READ = "JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF"
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
}
OTHERS = {
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xffO\xffQ": "JPEG 2000",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"%PDF-": "PDF",
    b"8BPS": "Photoshop",
    b"\x00\x00\x01\x00": "icon",
    b"II\xbc\x01": "JPEG XR",
    b"%!PS": "PostScript",
}
"""Pictures and documents that are not read, by their first bytes."""
BRANDS = {
    "HEIC": ("heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "msf1"),
    "AVIF": ("avif", "avis"),
    "video": ("isom", "iso2", "mp41", "mp42", "qt  ", "M4V ", "3gp4", "3gp5", "dash"),
}
"""What a file of boxes holds, by its brands."""
PIXELS_PER_BYTE = 8192
FREE_PIXELS = 2**20
"""A picture has so many pixels for nothing, and others for each of its bytes: no picture that shows
anything comes near, and a few bytes cannot buy seconds."""


class Unusable(Exception):
    """A file that is no usable picture.

    Attributes:
        reason: One of a fixed few, for counting.
        detail: What exactly was found.
    """

    def __init__(self, reason: str, detail: str) -> None:
        detail = text_of(detail)  # hosts and files say what they like
        super().__init__(reason, detail)  # as it must be made again in another process
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True)
class Decoded:
    """A picture as it is stored.

    Attributes:
        content: PNG without any metadata, so equal pixels give equal bytes.
        width: Pixels.
        height: Pixels.
    """

    content: bytes
    width: int
    height: int


def decode(content: bytes, settings: CollectionSettings) -> "PIL.Image.Image":
    """Decodes a picture as a viewer shows it: upright, RGB, transparency on white, first frame.

    Args:
        content: The encoded picture.
        settings: Bounds; a picture with a side above `max_side` pixels is made smaller.

    Raises:
        Unusable: With one of the reasons "SVG unsupported" and others alike, "not an image", "too
            large", "too small", "truncated", "decompression bomb", "not decodable".
    """
    import PIL.Image

    with warnings.catch_warnings():
        # Pillow warns of large pictures at a bound of its own; ours is checked right after.
        warnings.simplefilter("ignore")
        try:
            picture = PIL.Image.open(io.BytesIO(content), formats=FORMATS)
        except PIL.UnidentifiedImageError:
            raise _unknown(content) from None
        except Exception as error:  # a parser of untrusted bytes: anything may come
            raise _broken(error) from None
        with picture:
            _check_pixels(picture, len(content), settings)
            try:
                upright = _on_white(_upright(picture, settings.max_side)).convert("RGB")
            except Exception as error:
                raise _broken(error) from None
            _check_sides(upright, settings)
            return upright


def load_decoders(settings: CollectionSettings) -> None:
    """Load all that decoding needs, so that no file is opened for it later."""
    import encodings.idna  # noqa: F401

    import numpy  # noqa: F401
    import PIL.AvifImagePlugin
    import PIL.Image
    import PIL.ImageCms
    import PIL.ImageOps
    import PIL.ImageSequence

    PIL.AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    PIL.Image.init()
    PIL.Image.MAX_IMAGE_PIXELS = settings.max_pixels
    for kind in ("PNG", "TIFF"):
        buffer = io.BytesIO()
        PIL.Image.new("RGBA", (16, 16)).save(buffer, kind)
        encode(decode(buffer.getvalue(), settings))


def encode(picture: "PIL.Image.Image") -> Decoded:
    """The picture as it is stored."""
    buffer = io.BytesIO()
    picture.info = {}
    # Against level 6: 2.5 times as fast for 7% more bytes, over photographs.
    picture.save(buffer, "PNG", compress_level=3)
    return Decoded(buffer.getvalue(), picture.width, picture.height)


def _unknown(content: bytes) -> Unusable:
    start = content[:65536].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<") and b"<svg" in start:
        return Unusable("SVG unsupported", "convert it to PNG")
    for signature, name in SIGNATURES.items():
        if content.startswith(signature):
            return Unusable("not decodable", f"begins as {name}, but its header is broken or cut")
    if name := _other(content):
        if name == "AVIF":
            return Unusable("not decodable", "begins as AVIF, but its header is broken or cut")
        return Unusable(f"{name} unsupported", "convert it to JPEG or PNG")
    return Unusable("not an image", f"no {READ} picture")


def _other(content: bytes) -> str | None:
    """What a file is that is not read here, by what it begins with."""
    for signature, name in OTHERS.items():
        if content.startswith(signature):
            return name
    if content[4:8] != b"ftyp":
        return None
    end = min(max(int.from_bytes(content[:4]), 16), 256)
    brands = [content[8:12], *(content[at : at + 4] for at in range(16, end, 4))]
    found = {name for name, known in BRANDS.items() for each in known if each.encode() in brands}
    return next((name for name in ("AVIF", "HEIC", "video") if name in found), None)


def _check_pixels(picture: "PIL.Image.Image", size: int, settings: CollectionSettings) -> None:
    if picture.width * picture.height > settings.max_pixels:
        raise Unusable(
            "too large",
            f"{picture.width} x {picture.height} pixels, at most {settings.max_pixels} are read",
        )
    if picture.width * picture.height > FREE_PIXELS + PIXELS_PER_BYTE * size:
        raise Unusable(
            "decompression bomb", f"{size} bytes claim {picture.width} x {picture.height} pixels"
        )


def _check_sides(picture: "PIL.Image.Image", settings: CollectionSettings) -> None:
    """Image processors fail on pictures of a few pixels; a long strip becomes one when shrunk."""
    if min(picture.size) < settings.min_side:
        raise Unusable("too small", f"{picture.width} x {picture.height} pixels as stored")


def _upright(picture: "PIL.Image.Image", max_side: int) -> "PIL.Image.Image":
    """Decoded, shrunk and turned; shrunk first, as whatever follows then costs little."""
    from PIL.Image import Resampling, Transpose

    orientation = _orientation(picture)
    if picture.format == "TIFF":  # which Pillow turns itself when it decodes, whatever its mode
        picture.load()
        orientation = 1
    frame = _shrinkable(picture)
    # Of a JPEG only as much is decoded as the smaller picture needs.
    frame.thumbnail((max_side, max_side), Resampling.LANCZOS, reducing_gap=3.0)
    turn = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(orientation)
    return frame if turn is None else frame.transpose(turn)


def _shrinkable(picture: "PIL.Image.Image") -> "PIL.Image.Image":
    """In a mode whose pixels can be averaged: no palette, no single colour that means clear."""
    if picture.mode.startswith(("I", "F")):
        return _eight_bits(picture)
    if picture.mode in ("1", "P", "PA") or "transparency" in picture.info:
        return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    return picture


def _eight_bits(picture: "PIL.Image.Image") -> "PIL.Image.Image":
    """16-bit greys and floats, which Pillow would clip to white, scaled to 8 bits.

    16 bits are scaled by their whole range, wider numbers by the range that the picture uses.
    """
    import numpy as np
    import PIL.Image

    values = np.asarray(picture).astype(np.float32)  # [height, width]
    values = np.nan_to_num(values, copy=False, posinf=0.0, neginf=0.0)
    low, high = 0.0, 65535.0
    if not picture.mode.startswith("I;16"):
        low, high = float(values.min()), float(values.max())
    values -= low
    values *= 255.0 / max(high - low, 1e-9)
    return PIL.Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def _orientation(picture: "PIL.Image.Image") -> int:
    """How the camera was held, by EXIF; upright where that is broken, for pixels are not."""
    try:
        return int(picture.getexif().get(0x0112, 1))
    except Exception:
        return 1


def _on_white(picture: "PIL.Image.Image") -> "PIL.Image.Image":
    import PIL.Image

    if not picture.has_transparency_data:
        return picture
    layer = picture.convert("RGBA")
    return PIL.Image.alpha_composite(PIL.Image.new("RGBA", layer.size, "white"), layer)


def _broken(error: Exception) -> Unusable:
    import PIL.Image

    text = re.sub(r" at 0x[0-9a-f]+", "", str(error) or type(error).__name__)[:200]
    if isinstance(error, PIL.Image.DecompressionBombError):
        claimed = re.search(r"\d+", text)
        return Unusable("too large", f"claims {claimed.group() if claimed else 'too many'} pixels")
    if isinstance(error, MemoryError):
        return Unusable("too large", "decoding needs more memory than a picture may")
    if isinstance(error, ValueError) and ("too large" in text or "Too much memory" in text):
        return Unusable("decompression bomb", text)
    cut = isinstance(error, OSError) and "truncated" in text.lower()
    return Unusable("truncated" if cut else "not decodable", text)
