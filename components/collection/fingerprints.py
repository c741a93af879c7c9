"""Fingerprints of pictures: equal or close for pictures that a person takes for the same.

A picture is looked at twice, as it is and without its margin. One whose margin was cut off then
lies near the second view of the original, at a tenth of the distance that its first view has.
"""

import io
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

VIEW_SIDE = 32
THUMB_SIDE = 16
FREQUENCIES = 8
MARGIN = 0.025
"""Share of a side that the second view leaves out at each edge."""
LUMA = np.array([0.299, 0.587, 0.114])

FINGERPRINT = np.dtype([("hashes", "<u8", (2,)), ("thumbs", "u1", (2, THUMB_SIDE, THUMB_SIDE, 3))])
"""Perceptual hash and thumbnail of both views."""


PRINTS_AT_ONCE = 256


class PrintFile:
    """Fingerprints of pictures: hashes in memory, thumbnails in a file that is mapped later.

    Memory holds 16 bytes a picture, and the views of a few pictures; the file takes 1.5 KB each.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._views: list[npt.NDArray[np.uint8]] = []
        self._hashes = [np.empty((0, 2), "<u8")]

    def __enter__(self) -> Self:
        self._stream = self._path.open("wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stream:
            self._flush()

    def add(self, content: bytes) -> None:
        """Adds an encoded picture."""
        self._views.append(views(content))
        if len(self._views) == PRINTS_AT_ONCE:
            self._flush()

    def hashes(self) -> "npt.NDArray[np.uint64]":
        """Hashes of both views of all pictures, `[pictures, 2]`."""
        return np.concatenate(self._hashes)

    def thumbs(self) -> "Thumbnails":
        """Thumbnails of both views of all pictures."""
        return Thumbnails(self._path)

    def _flush(self) -> None:
        if self._views:
            prints = fingerprints(np.stack(self._views))
            self._hashes.append(prints["hashes"].copy())
            self._stream.write(prints["thumbs"].tobytes())
            self._views.clear()


class Thumbnails:
    """Thumbnails in a file, read a few at a time; mapped pages would count as memory.

    `thumbnails[pictures, views]` are those `[count, 16, 16, 3]` of pictures `[count]` by their
    places and views `[count]` or one view of all.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getitem__(
        self, places: "tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | int]"
    ) -> "npt.NDArray[np.uint8]":
        pictures, views = places
        shape = FINGERPRINT["thumbs"].shape[1:]
        size = int(np.prod(shape))
        with self._path.open("rb") as stream:
            every = (pictures * 2 + views).tolist()
            content = b"".join(os.pread(stream.fileno(), size, size * each) for each in every)
        return np.frombuffer(content, np.uint8).reshape(-1, *shape)


def views(content: bytes) -> "npt.NDArray[np.uint8]":
    """Both views of an encoded picture, `[2, 32, 32, 3]`."""
    import PIL.Image

    with PIL.Image.open(io.BytesIO(content)) as picture:
        colours = picture.convert("RGB")
    width, height = colours.size
    boxes = (
        (0, 0, width, height),
        (width * MARGIN, height * MARGIN, width * (1 - MARGIN), height * (1 - MARGIN)),
    )
    lanczos = PIL.Image.Resampling.LANCZOS
    small = (colours.resize((VIEW_SIDE, VIEW_SIDE), lanczos, box, 3.0) for box in boxes)
    return np.stack([np.asarray(view) for view in small])


def fingerprints(batch: "npt.NDArray[np.uint8]") -> "npt.NDArray[np.void]":
    """Fingerprints `[pictures]` of pictures' views `[pictures, 2, 32, 32, 3]`.

    The hash has a bit for each of the 64 lowest frequencies of the grey view's cosine transform:
    whether it is above their median.
    """
    grey = batch @ LUMA  # [pictures, 2, 32, 32]
    basis = _cosines()
    low = (basis @ grey @ basis.T).reshape(*grey.shape[:2], -1)  # [pictures, 2, 64]
    bits = low > np.median(low, axis=-1, keepdims=True)
    made = np.empty(len(batch), FINGERPRINT)
    made["hashes"] = np.packbits(bits, axis=-1).view("<u8")[..., 0]
    step = VIEW_SIDE // THUMB_SIDE
    blocks = batch.reshape(len(batch), 2, THUMB_SIDE, step, THUMB_SIDE, step, 3)
    made["thumbs"] = blocks.mean(axis=(3, 5)).round().astype(np.uint8)
    return made


def _cosines() -> "npt.NDArray[np.float64]":
    """The lowest rows of the type 2 cosine transform, `[8, 32]`, without scale."""
    places = np.arange(VIEW_SIDE) * 2 + 1
    return np.cos(np.pi * np.outer(np.arange(FREQUENCIES), places) / (2 * VIEW_SIDE))
